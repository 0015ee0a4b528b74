"""`autodecoder map`: draw images as a map of two dimensions, with settings chosen by itself."""

from dataclasses import dataclass, fields, make_dataclass, replace
from typing import Annotated, Any

from cyclopts import Parameter

from autodecoder.cli.flags import GROUPS, Json, flag
from autodecoder.cli.study_flags import OUTPUT, SEARCH, OtherFlags, StudyFlags, read_flags
from autodecoder.cli.train import run_asked
from autodecoder.config import OWN_SOURCES, SHORT, list_settings

#: Settings with a flag here, and their help text if a map chooses another default.
_SETTINGS = {
    "data.data_dir": "",
    "data.examples_frac": "Share of the images to use, by class. [default: 1]",
    "data.image_size": "Size of the images, N or HEIGHTxWIDTH: cropped around the centre, then "
    "scaled. [default: the size of the images up to 128 x 128; larger or mixed sizes are reduced "
    "to at most 64 x 64 (docs/datasets.md)]",
    "data.colour": "",
    "data.pixel_range": "",
    "data.val_fraction": "",
    "data.split_by": "",
    "data.columns": "",
    "data.mask": "",
    "data.alpha": "",
    "data.strict": "",
    "data.scaler": "",
    "decoder.arch": "Widths of the hidden layers, from latents to image, joined by hyphens; or "
    "convolutions, such as conv:64-32-16. [default: 500-500; 500 and less for large images]",
    "decoder.latent_dims": "",
    "fit.num_epochs": "Passes over the training images. [default: the number that makes "
    f"{SHORT.steps:,} steps, from {SHORT.least} to {SHORT.most}]",
    "fit.batch_size": "Images per step. [default: 128, or all images if there are fewer]",
    "fit.loss": "",
    "seed": "",
}
_OTHERS = ("recipe", "config", "out", "reset_training", "devices", "memory")
_OWN = ", ".join(f"{kind}:{what}" for kind, what in OWN_SOURCES.items())


def _fields() -> list[tuple[str, Any, Any]]:
    found = []
    for setting in list_settings():
        if setting.path in _SETTINGS:
            words = _SETTINGS[setting.path]
            found.append(flag(replace(setting, meaning=words, default=None) if words else setting))
    others = {f.name: (f.name, f.type, f.default) for f in fields(OtherFlags)}
    return [*found, *(others[name] for name in _OTHERS)]


_ALL_FLAGS: Any = make_dataclass("_ALL_FLAGS", _fields(), frozen=True, kw_only=True)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MapFlags(_ALL_FLAGS):
    """The flags of `train` that a map uses; `None` and () mean not given."""


def map_images(
    images: Annotated[
        str,
        Parameter(
            name="DATASET",
            group=GROUPS["Images"],
            help=f"The images: digits, mnist, fmnist, cifar10, cifar100; or your own, {_OWN}.",
        ),
    ],
    /,
    flags: MapFlags | None = None,
    *,
    lr: Annotated[
        float | None,
        Parameter(
            group=SEARCH, name=("lr", "learning_rate"), help="Learning rate. [default: 0.01]"
        ),
    ] = None,
    open_: Annotated[
        bool,
        Parameter(name="open", group=OUTPUT, show_default=False, help="Open the map in a browser."),
    ] = False,
    json_: Annotated[Json, Parameter(group=OUTPUT)] = False,
) -> bool:
    """Map images to two dimensions: a page on which the decoder draws the image at the pointer.

    It runs train with settings for a first picture: all images, one run, one learning rate. Image
    size, decoder, batch size and number of epochs follow from the images. They are printed, and
    flags override them. The map shows the epoch with the least error of the training images, since
    a map is for looking at these images. The last line is the path of the map.

    Example: autodecoder map folder:photos --open
    """
    given = {f.name: getattr(flags, f.name) for f in fields(flags)} if flags else {}
    asked = read_flags(StudyFlags(**given, dataset=images), lr, for_map=True)
    return run_asked(asked, json_, as_map=True, opens=open_)
