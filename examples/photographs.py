"""Photographs of your own: a folder of image files, one subfolder a class.

    python examples/photographs.py [FOLDER]

Without a folder, tiles of the two photographs that scikit-learn carries. Trains a decoder on them,
reconstructs tiles that it has not seen, fills in a hidden quarter, and writes pictures and a page
to look at into `photographs/`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import autodecoder as ad
from autodecoder.report import write_model_page
from autodecoder.report.pictures import save_figure
from autodecoder.report.sheets import plot_reconstructions

SIDE = 32


def tiles(folder: Path) -> Path:
    """Cut scikit-learn's photographs into tiles."""
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        height, width, _ = photograph.shape
        for top in range(0, height - SIDE, SIDE):
            for left in range(0, width - SIDE, SIDE):
                tile = photograph[top : top + SIDE, left : left + SIDE]
                Image.fromarray(tile).save(folder / name / f"{top}-{left}.png")
    return folder


def main() -> None:
    out = Path("photographs")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else tiles(Path(temporary) / "tiles")
        dataset = ad.load_dataset(f"folder:{folder}", image_size=SIDE, colour="rgb")
    print(f"{len(dataset.train)} training and {len(dataset.val)} validation images")
    model = ad.fit_model(
        dataset.train.images,
        labels=dataset.train.labels,
        val_images=dataset.val.images,
        val_labels=dataset.val.labels,
        decoder=ad.DecoderConfig(arch=(256, 512), latent_dims=32),
        fit=ad.fit_config("fast", num_epochs=60),
        learning_rate=2e-3,
    )
    unseen = dataset.val.images[:20]
    found = model.infer(unseen)
    mean = dataset.train.images.mean(0) / 255
    plain = ((unseen / 255 - mean) ** 2).mean() * 4  # in the scaled space, as losses are
    print(f"unseen tiles: error {found.errors.loss.mean():.4f}; of the mean tile {plain:.4f}")
    seen = np.ones(unseen.shape, bool)
    seen[:, SIDE // 2 :, SIDE // 2 :] = False
    for name, mask in (("unseen", None), ("filled", seen)):
        made = np.rint(255 * model.reconstruct(unseen, mask)).astype(np.uint8)
        save_figure(plot_reconstructions(unseen, made, title=name, mask=mask), out / f"{name}.png")
    page = write_model_page(model, out / "page.html", title="Photographs")
    print(f"pictures in {out}, and {page} to play with")


if __name__ == "__main__":
    main()
