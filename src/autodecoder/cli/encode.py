"""`autodecoder encode`: infer the latents of images under a trained decoder."""

from pathlib import Path
from typing import Annotated

from autodecoder.cli.flags import Json, path_flag
from autodecoder.cli.inputs import (
    Images,
    Mask,
    ModelFolder,
    Resize,
    Seed,
    error_means,
    open_all,
)
from autodecoder.errors import ConfigError
from autodecoder.text import count


def encode(
    model: ModelFolder,
    /,
    *,
    images: Images,
    out: Annotated[
        Path,
        path_flag(
            help="Output file: .npy with the latents; .npz with `latents`, `loss`, `mae`, `psnr` "
            "and `converged`; or .csv with one line per image."
        ),
    ],
    mask: Mask = None,
    resize: Resize = False,
    seed: Seed = 0,
    json_: Json = False,
) -> bool:
    """Infer the latents of images.

    It uses the default settings of latent inference; `reconstruct` has flags for them.

    Example: autodecoder encode runs/mine/best --images folder:photos --out latents.csv
    """
    from autodecoder.cli.console import aside, console, print_json
    from autodecoder.cli.progress import counted
    from autodecoder.config import InferConfig
    from autodecoder.report.placed import LATENT_KINDS, write_latents

    if out.suffix.lower() not in LATENT_KINDS:
        raise ConfigError(f"out must end in {', '.join(LATENT_KINDS)}, got {out}.")
    trained, given, seen = open_all(model, images, mask, resize=resize)
    n = len(given.samples)
    with aside(json_), counted("encoding", n) as report:
        errors = write_latents(
            trained,
            given.samples,
            seen,
            out,
            config=InferConfig(),
            names=given.names,
            seed=seed,
            report=report,
        )
    means = error_means(errors)
    if json_:
        shape = [n, trained.latent_dims]
        print_json({"out": str(out), "n_images": n, "latents_shape": shape, **means})
        return False
    console.print(
        f"{out}: {count(n, 'latent')} of {trained.latent_dims}; "
        f"mean squared error {means['loss']:.4f}",
        highlight=False,
    )
    return False
