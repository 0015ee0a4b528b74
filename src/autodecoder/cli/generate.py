"""`autodecoder decode`, `interpolate` and `sample`: make images from latents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from autodecoder.cli.flags import Json, path_flag, whole_number
from autodecoder.cli.inputs import ModelFolder, Out, Resize, Seed, open_model, read_end
from autodecoder.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from autodecoder.model import Model

_END = (
    "train:INDEX or val:INDEX, a latent of the model; the name of one of its images; "
    "comma-separated numbers; or an image file."
)


def decode(
    model: ModelFolder,
    /,
    *,
    latents: Annotated[
        Path,
        path_flag(
            help="Latents: .npy; .npz with an array `latents`; or .csv, with columns named "
            "latent_0, latent_1, … or unnamed. `encode` writes all three."
        ),
    ],
    out: Out,
    json_: Json = False,
) -> bool:
    """Decode latents to images.

    Example: autodecoder decode runs/mine/best --latents latents.npz --out decoded
    """
    import numpy as np

    from autodecoder.data.given import open_latents
    from autodecoder.report.images import check_kind

    trained = open_model(model)
    given = open_latents(latents)
    if given.ndim != 2 or given.shape[1] != trained.latent_dims or given.dtype.kind not in "fiu":
        raise DataError(
            f"{latents} must hold numbers, (n, {trained.latent_dims}), got {given.dtype} of "
            f"{' × '.join(map(str, given.shape))}."
        )
    check_kind(trained, out, len(given))
    with np.errstate(over="ignore"):
        given = given.astype(np.float32)
    good = np.isfinite(given).all(axis=1)
    if not good.all():
        raise DataError(
            f"latents must be finite in single precision, but row {int(np.argmin(good))} is not."
        )
    return _write(trained, given, out, {}, json_)


def interpolate(
    model: ModelFolder,
    /,
    *,
    from_: Annotated[str, Parameter(name="from", allow_leading_hyphen=True, help=f"Start: {_END}")],
    to: Annotated[str, Parameter(allow_leading_hyphen=True, help="End, in the same notation.")],
    out: Out,
    n: Annotated[
        int, Parameter(converter=whole_number, help="Number of images, including both ends.")
    ] = 10,
    path: Annotated[
        str,
        Parameter(
            help="Path: linear, straight; spherical, around the mean latent; data, through regions "
            "dense in training latents."
        ),
    ] = "linear",
    resize: Resize = False,
    seed: Seed = 0,
    json_: Json = False,
) -> bool:
    """Decode latents along a path from one latent or image to another.

    Example: autodecoder interpolate runs/mine/best --from train:0 --to val:3 --out way.gif
    """
    from autodecoder.cli.console import aside
    from autodecoder.cli.progress import counted
    from autodecoder.model.paths import PATHS
    from autodecoder.report.images import check_kind

    if path not in PATHS:
        raise ConfigError(f"path must be one of {', '.join(PATHS)}, got {path!r}.")
    trained = open_model(model)
    check_kind(trained, out, n)
    ends = []
    with aside(json_), counted("inferring the ends", 2) as report:
        for name, text in (("from", from_), ("to", to)):
            ends.append(read_end(trained, name, text, resize=resize, seed=seed))
            report(len(ends))
    made = trained.interpolate(ends[0], ends[1], n, path=path)
    about = {"path": path, "from": ends[0].tolist(), "to": ends[1].tolist()}
    return _write(trained, made.latents, out, about, json_, in_row=True)


def sample(
    model: ModelFolder,
    /,
    *,
    out: Out,
    n: Annotated[int, Parameter(converter=whole_number, help="Number of images.")] = 16,
    class_: Annotated[
        str | None, Parameter(name="class", help="Class of the images: its name or number.")
    ] = None,
    temperature: Annotated[
        float,
        Parameter(
            help="Factor on the mixture's standard deviations; below 1 for more typical images."
        ),
    ] = 1.0,
    seed: Seed = 0,
    json_: Json = False,
) -> bool:
    """Draw new images: sample a mixture of Gaussians fitted to the training latents, and decode.

    Example: autodecoder sample runs/mine/best --n 64 --seed 1 --out drawn.png
    """
    from autodecoder.config.rules import check_positive_int
    from autodecoder.report.images import check_kind

    trained = open_model(model)
    check_positive_int("n", n)
    check_kind(trained, out, n)
    made = trained.sample(n, label=class_, temperature=temperature, seed=seed)
    about = {"seed": seed, "class": class_, "temperature": temperature}
    return _write(trained, made.latents, out, about, json_)


def _write(
    model: "Model",
    latents: "np.ndarray",
    out: Path,
    about: dict[str, Any],
    json_: bool,
    *,
    in_row: bool = False,
) -> bool:
    """Decode latents, write the images, and print a summary."""
    from autodecoder.cli.console import aside, console, print_json
    from autodecoder.cli.progress import counted
    from autodecoder.report.images import write_samples

    with aside(json_), counted("decoding", len(latents)) as report:
        write_samples(model, latents, out, in_row=in_row, report=report)
    sides = " × ".join(map(str, model.sample_shape))
    if json_:
        shape = [len(latents), *model.sample_shape]
        print_json({"out": str(out), "n_images": len(latents), "shape": shape, **about})
    else:
        things = "images" if model.standardization is None else "rows of features"
        console.print(f"{out}: {len(latents):,} {things} of {sides}", highlight=False)
    return False
