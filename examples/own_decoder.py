"""A decoder of your own shape: widths, activation, normalisation; and how to use it elsewhere.

    python examples/own_decoder.py

Trains decoders of several shapes on digits, compares their errors on digits that they have not
seen, and works out the best one's images with nothing but NumPy, from its weights.
"""

import os

import numpy as np

import autodecoder as ad

SHAPES = {
    "narrow, then wide": ad.DecoderConfig(arch=(32, 256)),
    "three layers, swish": ad.DecoderConfig(arch=(64, 64, 64), activation="swish"),
    "one layer, batch normalisation": ad.DecoderConfig(arch=(256,), batch_norm=True),
    "one layer, elu": ad.DecoderConfig(arch=(256,), activation="elu"),
}

ACTIVATIONS = {
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.2 * x),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


def decode_by_hand(model: ad.Model, latents: np.ndarray) -> np.ndarray:
    """What `Model.decode` does, for a decoder without batch normalisation."""
    values = latents
    *hidden, last = model.decoder.layers
    for layer in hidden:
        values = values @ np.asarray(layer.weight) + np.asarray(layer.bias)
        values = ACTIVATIONS[model.decoder.config.activation](values)
    values = np.tanh(values @ np.asarray(last.weight) + np.asarray(last.bias))
    return ((values + 1) / 2).reshape(-1, *model.image_shape)


def main() -> None:
    digits = ad.load_dataset("digits")
    epochs = int(os.environ.get("AUTODECODER_DEMO_EPOCHS", "60"))
    models = {}
    for name, shape in SHAPES.items():
        model = ad.fit_model(
            digits.train.images,
            decoder=shape,
            fit=ad.fit_config("fast", num_epochs=epochs),
            learning_rate=3e-3,
        )
        error = float(model.infer(digits.val.images).errors.loss.mean())
        models[name] = (error, model)
        print(f"{name}: error of unseen digits {error:.4f}")
    plain = [pair for pair in models.values() if not pair[1].decoder.config.batch_norm]
    best = min(plain, key=lambda pair: pair[0])[1]
    latents = best.latents[:5]
    gap = np.abs(decode_by_hand(best, latents) - best.decode(latents)).max()
    print(f"by hand and by the package: {gap:.1e} apart")


if __name__ == "__main__":
    main()
