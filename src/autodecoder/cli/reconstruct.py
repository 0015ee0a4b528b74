"""`autodecoder reconstruct`: reconstruct images with a trained decoder, also missing pixels."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import Json, path_flag, whole_number
from autodecoder.cli.inputs import (
    Images,
    Mask,
    ModelFolder,
    Resize,
    Seed,
    error_means,
    open_all,
)
from autodecoder.text import count


def reconstruct(
    model: ModelFolder,
    /,
    *,
    images: Images,
    out: Annotated[Path, path_flag(help="Folder for the results; new or empty.")],
    mask: Mask = None,
    resize: Resize = False,
    method: Annotated[
        str, Parameter(help="Solver: auto, lm, lbfgs or adam; see docs/inference.md.")
    ] = "auto",
    starts: Annotated[
        str, Parameter(help="Starts of the search, separated by commas; see docs/inference.md.")
    ] = "nearest",
    n_starts: Annotated[
        int, Parameter(converter=whole_number, help="Number of latents of each of those starts.")
    ] = 1,
    n_steps: Annotated[
        int | None,
        Parameter(
            converter=whole_number,
            help="Largest number of steps; by default 100 for lm, 300 for lbfgs, 500 for adam.",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        Parameter(
            help="An image has converged when the predicted decrease of a step is below this share "
            "of its loss."
        ),
    ] = 1e-5,
    prior_weight: Annotated[
        float | None,
        Parameter(
            help="Weight of the latents' density; by default 20 for images with missing pixels "
            "and 0 for others, or the fit's prior_weight if that is larger."
        ),
    ] = None,
    draws: Annotated[
        int,
        Parameter(
            converter=whole_number,
            help="Number of reconstructions to draw for each image, besides the best one.",
        ),
    ] = 0,
    seed: Seed = 0,
    json_: Json = False,
) -> bool:
    """Reconstruct images: infer the latent of each under the trained decoder, and decode it.

    Writes reconstructions.npy (float32 from 0 to 1), latents.npy, errors.csv (one line per image)
    and reconstructions.png; with --draws also draws.npy and draws.png. Each file is complete or
    absent.

    Example: autodecoder reconstruct runs/mine/best --images t10k-images-idx3-ubyte.gz --out filled
    """
    import numpy as np

    from autodecoder.cli.console import aside, console, print_json
    from autodecoder.cli.progress import counted
    from autodecoder.config import InferConfig
    from autodecoder.report.reconstructions import write_reconstructions

    config = InferConfig(
        method=method,
        starts=tuple(name.strip() for name in starts.split(",")),
        n_starts=n_starts,
        n_steps=n_steps,
        tolerance=tolerance,
        prior_weight=prior_weight,
    )
    trained, given, seen = open_all(model, images, mask, resize=resize)
    n = len(given.samples)
    with aside(json_), counted("reconstructing", n) as report:
        errors = write_reconstructions(
            trained,
            given.samples,
            seen,
            out,
            config=config,
            names=given.names,
            seed=seed,
            draws=draws,
            report=report,
        )
    unseen = int(np.isnan(errors.loss).sum())
    means = error_means(errors)
    if json_:
        print_json({"out": str(out), "n_images": n, "n_not_reconstructed": unseen, **means})
        return False
    summary = f"; mean squared error {means['loss']:.4f}" if unseen < n else ""
    console.print(f"{count(n, 'image')}{summary}", highlight=False)
    if unseen:
        console.print(f"{count(unseen, 'image')} without a pixel that counts: not reconstructed")
    console.print(f"Results in {out}", highlight=False)
    return False
