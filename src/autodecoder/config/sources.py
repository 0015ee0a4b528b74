"""Names of data sets: published ones by name, users' own images by kind and place."""

import re

from autodecoder.config.rules import check_choice
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path
from autodecoder.text import told

DATASETS = ("digits", "mnist", "fmnist", "cifar10", "cifar100")
#: Kinds of users' own images, and what follows the colon in the name of the data set.
OWN_SOURCES = {
    "folder": "PATH",
    "csv": "FILE",
    "tar": "FILE",
    "npz": "PATH",
    "npy": "PATH",
    "zarr": "PATH",
    "packed": "FOLDER",
    "hf": "NAME",
}
#: Kinds of encoded images, which are converted to one size and number of channels.
ENCODED_SOURCES = ("folder", "csv", "tar", "hf")

#: A name of one letter is excluded: it would be a Windows drive.
_ON_HUB = re.compile(
    r"(?P<name>[\w.-]+/[\w.-]+|[\w.-]{2,})(@(?P<early>[^:@\\]+))?(:(?P<config>[^:@/\\]+))?"
    r"(@(?P<late>[^:@\\]+))?"
)


def split_source(dataset: str) -> tuple[str, str]:
    """Split a user's own data set into kind and place; a published one into its name and "".

    Raises
    ------
    ConfigError
        If the name and kind are unknown, or nothing follows the colon.

    Examples
    --------
    >>> split_source("folder:photos/cats"), split_source("mnist")
    (('folder', 'photos/cats'), ('mnist', ''))
    """
    kind, colon, place = dataset.partition(":") if isinstance(dataset, str) else ("", "", "")
    if not colon or kind not in OWN_SOURCES:
        if isinstance(dataset, str) and dataset not in DATASETS and _is_folder(dataset):
            raise ConfigError(
                f"dataset must be a kind and a place, got the folder {told(dataset)}: use "
                f"folder:{dataset} for a folder of image files."
            )
        own = (f"{kind}:{what}" for kind, what in OWN_SOURCES.items())
        check_choice("dataset", dataset, (*DATASETS, *own))
        return dataset, ""
    if not place.strip() or "\0" in place:
        raise ConfigError(f"dataset must be {kind}:{OWN_SOURCES[kind]}, got {told(dataset)}.")
    return kind, place


def split_hub(place: str) -> tuple[str, str | None, str | None]:
    """Split the text after `hf:` into hub name or folder, configuration, and revision.

    Configuration and revision are `None` if not named.

    Examples
    --------
    >>> split_hub("uoft-cs/cifar100@main:default")
    ('uoft-cs/cifar100', 'default', 'main')
    """
    if _is_folder(place):
        return place, None, None
    folder, _, name = place.rpartition(":")
    if folder and _is_folder(folder):
        return folder, name or None, None
    found = _ON_HUB.fullmatch(place)
    if found is None:
        return place, None, None
    return found["name"], found["config"], found["early"] or found["late"]


def _is_folder(place: str) -> bool:
    try:
        return user_path(place).is_dir()
    except (ConfigError, OSError, ValueError):  # unknown user, or no valid file name
        return False
