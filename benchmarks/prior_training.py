"""Training the mixture prior: expectation-maximisation (EM) once an epoch, or gradients.

    python benchmarks/prior_training.py --data_dir FOLDER [--dataset mnist] [--dims 16]
        [--updates em,1e-3,1e-2,1e-1] [--epochs 20]

An update is `em`, or the learning rate of Adam, which moves weights, means and covariances of the
mixture once through all latents after each epoch, in batches of 128 (as in Schuster & Krogh 2023),
with the same prior of the covariances as in EM. 64 components, weight 3. The
last 10,000 training images are held out. Columns: error of their reconstruction, mean log density
of their latents under the mixture, Fréchet distance of samples of the mixture to them, seconds.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import autodecoder as ad
import autodecoder.core.fit
import autodecoder.core.priors
from autodecoder.core.mixture import Mixture, start_mixture
from autodecoder.core.priors import Prior
from autodecoder.measures.classifier import Classifier
from autodecoder.measures.generation import frechet_distance

N_HELD_OUT, BATCH, PRIOR_COUNT = 10_000, 128, 4.0
EM = autodecoder.core.priors.update_prior


def by_gradients(rate: float) -> Any:
    """A replacement of `update_prior`."""

    def update(prior: Prior, key: Any, latents: Any, noise: Any) -> Prior:
        k = len(prior.mixture.means)

        def loss(values: Any, batch: Any, pooled: Any) -> Any:
            mixture = _mixture(values)
            precisions = jnp.sum(mixture.roots @ jnp.swapaxes(mixture.roots, 1, 2) * pooled)
            log_determinants = 2 * values["diagonal"].sum()
            regular = 0.5 * PRIOR_COUNT * (precisions - log_determinants) / len(latents)
            return regular - mixture.log_density(batch).mean()

        def trained(mixture: Mixture) -> Mixture:
            optimiser = optax.adam(rate)
            values = _values(mixture)
            order = jax.random.permutation(key, len(latents) // BATCH * BATCH).reshape(-1, BATCH)
            precisions = mixture.roots @ jnp.swapaxes(mixture.roots, 1, 2)
            weights = jnp.exp(mixture.log_weights)
            pooled = jnp.einsum("k,kij->ij", weights, jnp.linalg.inv(precisions))

            def step(carry: Any, rows: Any) -> Any:
                values, state = carry
                slope = jax.grad(loss)(values, latents[rows], pooled)
                change, state = optimiser.update(slope, state)
                return (optax.apply_updates(values, change), state), None

            (values, _), _ = jax.lax.scan(step, (values, optimiser.init(values)), order)
            return _mixture(values)

        def first(_: Mixture) -> Mixture:
            return trained(start_mixture(key, latents, k))

        return Prior(jax.lax.cond(prior.noise > 0, trained, first, prior.mixture), noise)

    return update


def _values(mixture: Mixture) -> dict[str, Any]:
    diagonal = jnp.log(jnp.diagonal(mixture.roots, axis1=1, axis2=2))
    upper = jnp.triu(mixture.roots, 1)
    return {
        "weights": mixture.log_weights,
        "means": mixture.means,
        "diagonal": diagonal,
        "upper": upper,
    }


def _mixture(values: dict[str, Any]) -> Mixture:
    roots = jnp.triu(values["upper"], 1) + jax.vmap(jnp.diag)(jnp.exp(values["diagonal"]))
    return Mixture(jax.nn.log_softmax(values["weights"]), values["means"], roots)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--updates", default="em,1e-3,1e-2,1e-1")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    dataset = ad.load_dataset(options.dataset, data_dir=options.data_dir)
    train, held = dataset.train.images[:-N_HELD_OUT], dataset.train.images[-N_HELD_OUT:]
    labels = np.asarray(dataset.train.labels)[:10_000]
    classifier = Classifier(_flat(train[:10_000]), labels, 0)
    real = classifier.features(_flat(held))
    print("| update | error | log density | Fréchet distance | seconds |\n|---|---|---|---|---|")
    for name in options.updates.split(","):
        update = EM if name == "em" else by_gradients(float(name))
        autodecoder.core.fit.update_prior = update
        jax.clear_caches()
        began = time.perf_counter()
        try:
            model = ad.fit_model(
                train,
                decoder=ad.DecoderConfig(arch=(500, 500), latent_dims=options.dims),
                fit=ad.fit_config(
                    "fast",
                    num_epochs=options.epochs,
                    prior="mixture",
                    n_components=64,
                    prior_weight=3,
                ),
                learning_rate=5e-3,
                seed=0,
            )
        except ad.ConfigError:
            print(f"| {name} | diverged | | | |", flush=True)
            continue
        seconds = time.perf_counter() - began
        found = model.infer(held)
        density = model.log_density(np.asarray(found.latents)).mean()
        samples = classifier.features(_flat(model.sample(len(held), seed=0).images))
        cells = [
            f"{found.errors.loss.mean():.4f}",
            f"{density:.2f}",
            f"{frechet_distance(real, samples):.2f}",
            f"{seconds:.1f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _flat(images: np.ndarray) -> np.ndarray:
    pixels = images.reshape(len(images), -1)
    return pixels.astype(np.float32) if pixels.dtype != np.uint8 else pixels / np.float32(255)


if __name__ == "__main__":
    main()
