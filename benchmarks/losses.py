"""Inference by each solver under each reconstruction loss, on scikit-learn's digits.

    python benchmarks/losses.py [--dims 2,16] [--epochs 60]

Of every loss a decoder is fitted; then the unseen digits are inferred by each solver. The objective
is the mean over them of the loss that was fitted, which the solver minimises.
"""

import argparse
import platform

import jax
import jax.numpy as jnp
import numpy as np

import autodecoder as ad
from autodecoder.core.losses import Criterion, reconstruction_loss
from autodecoder.core.scaling import scale_pixels

LOSSES = (("mse", "standard"), ("bce", "zero_one"), ("laplacian", "standard"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", default="2,16", help="Lengths of latents.")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"{device}, Python {platform.python_version()}, jax {jax.__version__}")
    print("| loss | dimensions | solver | objective | PSNR | mean absolute error | steps |")
    print("|---|---|---|---|---|---|---|")
    digits = ad.load_dataset("digits")
    for loss, scaler in LOSSES:
        for dims in map(int, options.dims.split(",")):
            model = ad.fit_model(
                digits.train.images,
                decoder=ad.DecoderConfig(arch="128-256", latent_dims=dims, activation="swish"),
                fit=ad.fit_config("fast", num_epochs=options.epochs, loss=loss),
                scaler=scaler,
            )
            for method in ("lm", "lbfgs", "adam"):
                found = model.infer(digits.val.images, config=ad.InferConfig(method=method))
                outputs = model.decoder.decode(jnp.asarray(found.latents))
                targets = scale_pixels(jnp.asarray(digits.val.flat), scaler)
                criterion = Criterion(loss, model.image_shape)
                cells = (
                    f"{np.mean(reconstruction_loss(outputs, targets, criterion)):.5f}",
                    f"{found.errors.psnr.mean():.2f}",
                    f"{found.errors.mae.mean():.4f}",
                    f"{found.steps.mean():.0f}",
                )
                print(f"| {loss} | {dims} | {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
