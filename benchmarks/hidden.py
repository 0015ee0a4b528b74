"""Hidden parts of test images: how well are they filled in, with and without a prior?

    python benchmarks/hidden.py [--data_dir FOLDER] [--sets mnist,fmnist] [--dims 2,16,64]
        [--weights 0,5,10,20,40] [--parts half,centre,dots]

A decoder is trained on whole images of a part of the training set. Then parts of other images are
hidden: the right half, the middle quarter, or 90 % of the pixels. Each row tells the mean squared
error over hidden pixels, pixels from -1 to 1, for each weight of the prior; beside it are those of
the mean image and of principal components (probabilistic PCA, Tipping & Bishop 1999, the best of
several numbers). The last columns judge `Model.draw` at the default weight: the error of the mean
of 8 draws, and the root of their variance plus the training error as a share of the root mean
squared error of this mean, where 1 is right.

Images come from the training set alone by default (10,000 are held out), so that the weight can be
chosen by this table; `--test` takes the test images instead.
"""

import argparse
from pathlib import Path

import numpy as np

import autodecoder as ad

RATES = {2: 1e-2, 16: 6e-3, 64: 3e-3}
N_HELD_OUT = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--sets", default="mnist,fmnist")
    parser.add_argument("--dims", default="2,16,64")
    parser.add_argument("--weights", default="0,5,10,20,40")
    parser.add_argument("--parts", default="half,centre,dots")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--n", type=int, default=1000, help="images to fill in")
    parser.add_argument("--test", action="store_true", help="take test images")
    options = parser.parse_args()
    weights = [float(weight) for weight in options.weights.split(",")]
    heads = ["data, dimensions", "hidden", "mean image", "PCA"]
    heads += [f"prior {weight:g}" if weight else "no prior" for weight in weights]
    heads += ["mean of draws", "told / true error"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in options.sets.split(","):
        dataset = ad.load_dataset(name, data_dir=options.data_dir)
        known = dataset.train.images
        order = np.random.default_rng(0).permutation(len(known))
        train, held_out = known[order[:-N_HELD_OUT]], known[order[-N_HELD_OUT:]]
        images = (dataset.val.images if options.test else held_out)[: options.n]
        for dims in map(int, options.dims.split(",")):
            model = ad.fit_model(
                train,
                decoder=ad.DecoderConfig(arch="500-500", latent_dims=dims),
                fit=ad.fit_config("fast", num_epochs=options.epochs),
                learning_rate=RATES.get(dims, 3e-3),
                seed=0,
            )
            for part in options.parts.split(","):
                seen = visible(part, images.shape[1:3])
                cells = [f"{name}, {dims}", part]
                cells += [f"{error:.4f}" for error in plain_errors(train, images, seen)]
                cells += fills(model, images, seen, weights)
                print(f"| {' | '.join(cells)} |", flush=True)


def visible(part: str, shape: tuple[int, int]) -> np.ndarray:
    """True where pixels are seen, (height, width)."""
    height, width = shape
    seen = np.ones(shape, bool)
    if part == "half":
        seen[:, width // 2 :] = False
    elif part == "centre":
        seen[height // 4 : -(height // 4), width // 4 : -(width // 4)] = False
    else:
        seen = np.random.default_rng(0).random(shape) < 0.1
    return seen


def plain_errors(train: np.ndarray, images: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """The errors of the mean image, and of principal components, over hidden pixels."""
    flat, targets = (part.reshape(len(part), -1) / 127.5 - 1 for part in (train, images))
    seen = seen.ravel()
    mean = flat.mean(0)
    offsets = targets - mean
    values, vectors = np.linalg.eigh(np.cov(flat[:20_000].T))
    best = np.inf
    for n in (2, 4, 8, 16, 32, 64):
        noise = values[:-n].mean()
        loadings = vectors[:, -n:] * np.sqrt(values[-n:] - noise)
        system = loadings[seen].T @ loadings[seen] + noise * np.eye(n)
        scores = np.linalg.solve(system, loadings[seen].T @ offsets[:, seen].T)
        errors = (loadings[~seen] @ scores).T - offsets[:, ~seen]
        best = min(best, float((errors**2).mean()))
    return float((offsets[:, ~seen] ** 2).mean()), best


def fills(model: ad.Model, images: np.ndarray, seen: np.ndarray, weights: list[float]) -> list[str]:
    """The cells of a row that a model fills."""
    hidden = ~seen
    targets = images / 255.0

    def error(made: np.ndarray) -> float:
        return float(4 * ((made - targets) ** 2)[:, hidden].mean())

    cells = []
    for weight in weights:
        config = ad.InferConfig(prior_weight=weight)
        cells.append(f"{error(model.reconstruct(images, seen, config=config)):.4f}")
    draws = model.draw(images, seen, 8).images
    mean = draws.mean(axis=1)
    told = 4 * draws.var(axis=1, ddof=1)[:, hidden].mean() + model.history["loss"][-1]
    return [*cells, f"{error(mean):.4f}", f"{np.sqrt(told / error(mean)):.2f}"]


if __name__ == "__main__":
    main()
