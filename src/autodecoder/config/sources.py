"""What a data set is called: a published one by name, images of users' own by kind and place."""

import re

from autodecoder.config.rules import check_choice
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path
from autodecoder.text import told

DATASETS = ("digits", "mnist", "fmnist", "cifar10", "cifar100")
#: Images of users' own: what the name of a data set begins with, and what follows the colon.
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
#: Those of encoded images, which are brought to a size and to a number of channels.
ENCODED_SOURCES = ("folder", "csv", "tar", "hf")

#: A name of one letter would be a drive of Windows.
_ON_HUB = re.compile(
    r"(?P<name>[\w.-]+/[\w.-]+|[\w.-]{2,})(@(?P<early>[^:@\\]+))?(:(?P<config>[^:@/\\]+))?"
    r"(@(?P<late>[^:@\\]+))?"
)


def split_source(dataset: str) -> tuple[str, str]:
    """The kind of a data set of users' own, and where it lies; the name itself and "" of others.

    Raises
    ------
    ConfigError
        If it is neither a known name nor of a known kind, or nothing follows the colon.

    Examples
    --------
    >>> split_source("folder:photos/cats"), split_source("mnist")
    (('folder', 'photos/cats'), ('mnist', ''))
    """
    kind, colon, place = dataset.partition(":") if isinstance(dataset, str) else ("", "", "")
    if not colon or kind not in OWN_SOURCES:
        if isinstance(dataset, str) and dataset not in DATASETS and _is_folder(dataset):
            raise ConfigError(
                f"dataset must say what a folder holds, got {told(dataset)}: folder:{dataset} is "
                "one of image files."
            )
        own = (f"{kind}:{what}" for kind, what in OWN_SOURCES.items())
        check_choice("dataset", dataset, (*DATASETS, *own))
        return dataset, ""
    if not place.strip() or "\0" in place:
        raise ConfigError(f"dataset must be {kind}:{OWN_SOURCES[kind]}, got {told(dataset)}.")
    return kind, place


def split_hub(place: str) -> tuple[str, str | None, str | None]:
    """What follows `hf:`: a name on the hub or a folder; a configuration, and a revision, if named.

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
    except (ConfigError, OSError, ValueError):  # no such user, or no name for a file
        return False
