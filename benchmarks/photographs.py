"""Make a folder of 64 × 64 tiles of the photographs that scikit-learn ships, to try decoders on.

    python benchmarks/photographs.py FOLDER

A temple and a flower, 427 × 640 each; tiles overlap by three quarters. Those of the right quarter
of a photograph are `val/`, and share no pixel with those of the rest, `train/`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

SIZE, STRIDE = 64, 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    for name in ("train", "val"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for k, photograph in enumerate(load_sample_images().images):
        height, width, _ = np.shape(photograph)
        border = width * 3 // 4
        for top in range(0, height - SIZE + 1, STRIDE):
            for left in range(0, width - SIZE + 1, STRIDE):
                if left < border < left + SIZE:
                    continue
                tile = photograph[top : top + SIZE, left : left + SIZE]
                part = "train" if left + SIZE <= border else "val"
                Image.fromarray(tile).save(folder / part / f"{k}-{top:03d}-{left:03d}.png")


if __name__ == "__main__":
    main()
