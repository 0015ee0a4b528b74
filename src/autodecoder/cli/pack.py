"""`autodecoder pack`: write images as shards that need no decoding in training."""

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from autodecoder.cli.flags import GROUPS, Json, flag, path_flag, whole_number
from autodecoder.cli.streams import STDERR
from autodecoder.config import OWN_SOURCES, DataConfig, list_settings
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path

if TYPE_CHECKING:
    from autodecoder.data.packed import Packed
    from autodecoder.data.packing import Packing

_OUTPUT = GROUPS["Output"]
#: Settings of the images that affect packing.
_NAMES = (
    *("data_dir", "image_size", "colour", "pixel_range", "val_fraction", "split_by", "columns"),
    "strict",
)
_SETTINGS = [
    setting for setting in list_settings() if setting.path in {f"data.{name}" for name in _NAMES}
]
_ALL_FLAGS: Any = make_dataclass("_ALL_FLAGS", map(flag, _SETTINGS), frozen=True, kw_only=True)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PackFlags(_ALL_FLAGS):
    """Settings of the images; `None` means not given."""


def pack(
    source: Annotated[
        str,
        Parameter(
            help="The images, in the notation of --dataset of train: mnist, "
            + ", ".join(f"{kind}:{what}" for kind, what in OWN_SOURCES.items())
            + ". With --check, the folder OUT."
        ),
    ],
    out: Annotated[
        Path | None,
        path_flag(help="Folder of the shards: a new one, or one to continue."),
    ] = None,
    /,
    *,
    flags: PackFlags | None = None,
    seed: Annotated[
        int,
        Parameter(
            group=GROUPS["Images"],
            converter=whole_number,
            help="Seed that draws the images held out for validation.",
        ),
    ] = 0,
    shard_images: Annotated[
        int | None,
        Parameter(
            group=_OUTPUT,
            converter=whole_number,
            help="Images per shard; by default as many as fill about 128 MiB.",
        ),
    ] = None,
    check: Annotated[
        bool,
        Parameter(
            group=_OUTPUT,
            show_default=False,
            help="Do not pack: compare all files of OUT with the hashes in its manifest.",
        ),
    ] = False,
    json_: Annotated[Json, Parameter(group=_OUTPUT)] = False,
) -> bool:
    """Pack images into shards of bytes, which `--dataset packed:OUT` trains on.

    After an interruption, the same command continues. See docs/datasets.md.

    Example: autodecoder pack folder:photos photos.packed --image_size 32
    """
    from autodecoder.cli.console import aside, logged, print_json

    if check:
        if out is not None:
            raise ConfigError(f"--check takes the folder alone, got {source} and {out}.")
        from autodecoder.data.packed import check_packed

        checked = check_packed(user_path(source, "out"))
        if json_:
            print_json(_content(checked))
        else:
            _print(checked, "as they were written")
        return False
    if out is None:
        raise ConfigError("a folder OUT must follow SOURCE: autodecoder pack SOURCE OUT.")
    from autodecoder.data.packing import pack_images

    config = DataConfig(dataset=source, **_given(flags or PackFlags()))
    with aside(json_), logged():
        done = pack_images(
            config,
            out,
            seed=seed,
            shard_images=shard_images,
            progress=STDERR.isatty(),
        )
    if json_:
        about = {"n_written": done.n_written, "n_left_out": done.n_left_out}
        print_json({**_content(done.packed), **about, "seconds": done.seconds})
    else:
        _print(done.packed, _what_was_done(done))
    return False


def _given(flags: PackFlags) -> dict[str, Any]:
    """The settings given by flags, by name."""
    given = {}
    for setting in _SETTINGS:
        value = getattr(flags, str(setting.flag))
        if value is not None:
            name = setting.path.removeprefix("data.")
            given[name] = value if setting.read is None else setting.read(value)
    return given


def _what_was_done(done: "Packing") -> str:
    n = len(done.packed.manifest.shards)
    if not done.n_written:
        return "all complete already"
    before = f", {n - done.n_written} complete already" if done.n_written < n else ""
    return f"{done.n_written} written{before}, in {done.seconds:.1f} s"


def _print(packed: "Packed", what: str) -> None:
    from autodecoder.cli.console import console
    from autodecoder.text import count

    content = _content(packed)
    n_val = f"{content['n_val']:,}" if content["n_val"] else "no"
    sides = " × ".join(map(str, packed.manifest.head.image_shape))
    console.print(
        f"{packed.folder}: {content['n_train']:,} training and {n_val} "
        f"validation images of {sides}, {count(content['n_classes'], 'class', 'classes')}",
        highlight=False,
    )
    console.print(
        f"{count(content['n_shards'], 'shard')}, {content['n_bytes'] / 1e6:,.1f} MB: {what}",
        highlight=False,
    )
    console.print(f"To train on them: --dataset packed:{packed.folder}", highlight=False)


def _content(packed: "Packed") -> dict[str, Any]:
    manifest = packed.manifest
    n_train, n_val = (manifest.count(part) for part in ("train", "val"))
    return {
        "out": str(packed.folder),
        "n_train": n_train,
        "n_val": n_val,
        "image_shape": list(manifest.head.image_shape),
        "n_classes": len(manifest.head.class_names),
        "n_shards": len(manifest.shards),
        "n_bytes": (n_train + n_val) * manifest.head.n_pixels,
    }
