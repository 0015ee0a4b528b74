"""`autodecoder reconstruct`: what a trained decoder makes of other images, missing pixels too."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import whole_number


def reconstruct(
    model: Annotated[
        Path, Parameter(help="A model's folder: `best` in that of a study with --save_best_model.")
    ],
    /,
    *,
    images: Annotated[
        Path,
        Parameter(
            help="Images: .npy (read piece by piece, however large), .npz with an array `images`, "
            "or an IDX file as MNIST's; uint8 from 0 to 255, or floats from 0 to 1."
        ),
    ],
    out: Annotated[Path, Parameter(help="Folder for the results; new or empty.")],
    mask: Annotated[
        Path | None,
        Parameter(
            help="Which pixels count: an .npy of booleans, or of weights, for all images or one "
            "for each. The others are filled in."
        ),
    ] = None,
    method: Annotated[
        str, Parameter(help="Solver: auto, lm or adam; see docs/inference.md.")
    ] = "auto",
    starts: Annotated[
        str, Parameter(help="Where the search starts, by commas: see docs/inference.md.")
    ] = "nearest",
    n_starts: Annotated[
        int, Parameter(converter=whole_number, help="How many of each of those starts.")
    ] = 1,
    n_steps: Annotated[
        int | None,
        Parameter(converter=whole_number, help="Steps at most; by default 100, and 500 of Adam."),
    ] = None,
    tolerance: Annotated[
        float,
        Parameter(help="An image has converged when a step promises less than this share."),
    ] = 1e-5,
    prior: Annotated[float, Parameter(help="Strength of a Gaussian prior on the latents.")] = 0.0,
    seed: Annotated[int, Parameter(converter=whole_number, help="Of what is drawn.")] = 0,
) -> bool:
    """Reconstruct images: find the latent of each under the trained decoder, and decode it.

    Writes reconstructions.npy (float32 from 0 to 1), latents.npy, errors.csv (a line an image) and
    reconstructions.png. Each file is whole or absent.

    Example: autodecoder reconstruct runs/mine/best --images t10k-images-idx3-ubyte.gz --out filled
    """
    import numpy as np

    from autodecoder.cli.console import console, counted
    from autodecoder.cli.programs import keep_programs
    from autodecoder.config import InferConfig
    from autodecoder.data.arrays import open_images, open_mask
    from autodecoder.model import load_model
    from autodecoder.report.reconstructions import write_reconstructions

    config = InferConfig(
        method=method,
        starts=tuple(name.strip() for name in starts.split(",")),
        n_starts=n_starts,
        n_steps=n_steps,
        tolerance=tolerance,
        prior=prior,
    )
    keep_programs()
    trained = load_model(model)
    given = open_images(images)
    seen = None if mask is None else open_mask(mask)
    with counted("reconstructing", len(given)) as report:
        errors = write_reconstructions(
            trained, given, seen, out, config=config, seed=seed, report=report
        )
    unseen = int(np.isnan(errors.loss).sum())
    known = errors.loss[~np.isnan(errors.loss)]
    summary = f"; mean squared error {known.mean():.4f}" if len(known) else ""
    console.print(f"{len(given):,} images{summary}", highlight=False)
    if unseen:
        console.print(f"{unseen:,} images without a pixel that counts: not reconstructed")
    console.print(f"Results in {out}", highlight=False)
    return False
