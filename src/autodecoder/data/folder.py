"""Finding the images below a folder, their classes, and the parts of a split."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from autodecoder.data.decode import SUFFIXES
from autodecoder.data.walk import Found, Key, Walk, shown
from autodecoder.data.words import HELD_OUT, TRAIN
from autodecoder.errors import DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)
#: Endings of such names that are ignored, as in `training_set`.
_ENDINGS = re.compile(r"(set|split|data|images?|imgs?|samples?)$")
#: Suffixes of image formats that are not read.
_OTHER_IMAGES = frozenset(
    f".{suffix}"
    for suffix in (
        *("heic", "heif", "avif", "jxl", "jxr", "jp2", "j2k", "jpx", "jpf", "psd", "xcf", "svg"),
        *("eps", "dng", "cr2", "cr3", "nef", "arw", "orf", "raf", "rw2", "raw", "exr", "hdr"),
        *("tga", "ico", "pcx", "dds", "dcm", "nii", "fits", "sgi", "ras"),
    )
)
#: Most examples that a warning names.
_NAMED = 3


@dataclass(frozen=True)
class Listing:
    """The images of a folder, or of one part of it: a list of files for each class."""

    root: Path
    classes: dict[str, list[Found]]
    others: tuple[str, ...] = ()
    """The suffix of each file that is not an image."""
    n_repeated: int = 0
    """Number of further names that listed images have in their class."""

    @property
    def paths(self) -> list[Path]:
        return [found.path for images in self.classes.values() for found in images]

    @property
    def keys(self) -> set[Key]:
        return {found.key for images in self.classes.values() for found in images}


def list_images(root: Path, *, strict: bool = False) -> tuple[Listing, Listing | None]:
    """Find the images below a folder, in an order that does not depend on the file system.

    Each folder directly below is a class, with all images in it and its subfolders. If all images
    lie in `train` (or `training`) and one or more of `val`, `dev`, `test` and the like, these are
    the two sets, and their subfolders are the classes; only one validation folder is used. If there
    is one such folder only, its subfolders are the classes. Hidden files and folders are skipped,
    as are files without the suffix of an image. Links are followed, each folder once in a class.
    Each file is listed once, in one class of one set, with a warning if it would be in two.

    Parameters
    ----------
    root : Path
    strict : bool
        Raise for images in formats that are not read, such as HEIC, instead of warning.

    Returns
    -------
    train, val : Listing
        `val` is None if the folder has no such parts.

    Raises
    ------
    DataError
        If the folder is missing or holds no image, or has images beside folders of images.
    """
    _check_folder(root)
    walk = Walk(SUFFIXES)
    whole = _classes(walk, root)
    train_name, val_name = _parts(root, whole)
    if train_name is None:
        listings = [whole]
    elif val_name is None:
        listings = [_alone(walk, root / train_name) or whole]
    else:
        listings = [_classes(walk, root / name) for name in (train_name, val_name)]
    _tell_others(root, listings, strict=strict)
    for listing in listings:
        _tell_shared(listing)
        _tell_inner(listing)
    train, *val = map(_once, listings)
    if not val:
        return train, None
    _tell_classes(train, val[0])
    return _apart(train, val[0])


def list_files(root: Path) -> list[Path]:
    """All images below a folder, whatever their class or part, sorted by name.

    Raises
    ------
    DataError
        See `list_images`.
    """
    _check_folder(root)
    listing = _classes(Walk(SUFFIXES), root)
    _tell_others(root, (listing,), strict=False)
    return _once(listing).paths


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        what = "is a file" if root.is_file() else "does not exist"
        raise DataError(f"{shown(root)} must be a folder of images, but {what}.")


def _classes(walk: Walk, root: Path) -> Listing:
    """Images of a folder by class; one class, named "", if they lie directly in the folder."""
    files, folders = walk.directly(root)
    gathered = {folder.name: walk.below(folder, around=root) for folder in folders}
    classes = {name: below.images for name, below in gathered.items() if below.images}
    if files.images and classes:
        raise DataError(
            f"{shown(root)} must hold either images or a folder of images for each class, but "
            f"holds {shown(files.images[0].path.name)} beside the folder "
            f"{shown(next(iter(classes)))}."
        )
    parts = (files, *gathered.values())
    others = {key: suffix for part in parts for key, suffix in part.others.items()}
    if not files.images and not classes:
        found = f" ({_count_suffixes(others.values())} passed over)" if others else ""
        raise DataError(
            f"{shown(root)} must hold images ({', '.join(sorted(SUFFIXES))}) or folders of images, "
            f"but holds none{found}."
        )
    return Listing(
        root,
        classes or {"": files.images},
        tuple(others.values()),
        sum(part.n_repeated for part in parts),
    )


def _alone(walk: Walk, part: Path) -> Listing | None:
    """Images of the only part by class; `None` if it mixes images and folders: it is one class."""
    try:
        return _classes(walk, part)
    except DataError:
        return None


def _parts(root: Path, whole: Listing) -> tuple[str | None, str | None]:
    """Names of the training and the validation folder; `None` for a part that is absent."""
    names = list(whole.classes)
    roles = _roles(names)
    train = [name for name in names if roles[name] in TRAIN]
    val = [name for name in names if roles[name] in HELD_OUT]
    if len(names) == 1 and train + val:
        return names[0], None
    if len(train) == 1 and val and len(train + val) == len(names):
        used = min(val, key=lambda name: HELD_OUT.index(roles[name]))
        unused = [name for name in val if name != used]
        if unused:
            _log.warning(
                "%s: %s is used for validation; not read: %s.",
                *(shown(root.name), shown(used), ", ".join(map(shown, unused))),
            )
        return train[0], used
    if len(train + val) > 1 or any(_holds_folders(whole, name) for name in train + val):
        _log.warning(
            "%s: read as classes, though named like parts of a split: %s; a split takes one folder "
            "train, one or more of val, dev or test, and no others.",
            *(shown(root.name), ", ".join(map(shown, train + val))),
        )
    return None, None


def _holds_folders(listing: Listing, name: str) -> bool:
    """Whether all images of a class lie in folders below its own."""
    return all(
        len(found.path.relative_to(listing.root / name).parts) > 1
        for found in listing.classes[name]
    )


def _roles(names: list[str]) -> dict[str, str]:
    """Names without a common first word: `train` and `test` for `seg_train` and `seg_test`."""
    words = [re.findall("[a-z]+", name.casefold()) for name in names]
    while len(names) > 1 and all(len(own) > 1 and own[0] == words[0][0] for own in words):
        words = [own[1:] for own in words]
    return {name: _role("".join(own)) for name, own in zip(names, words, strict=True)}


def _role(name: str) -> str:
    """A folder's name in lower case, without digits, punctuation and endings such as `set`."""
    word = re.sub(r"[^a-z]", "", name.casefold())
    return _ENDINGS.sub("", word)


def _once(listing: Listing) -> Listing:
    """Keep each image in one class: the one with the fewest links to it, or the first."""
    owners: dict[Key, tuple[int, str]] = {}
    for name, images in listing.classes.items():
        for found in images:
            rank = (found.n_links, name)
            if found.key not in owners or found.n_links < owners[found.key][0]:
                owners[found.key] = rank
    classes = {
        name: [found for found in images if owners[found.key][1] == name]
        for name, images in listing.classes.items()
    }
    return replace(listing, classes={name: images for name, images in classes.items() if images})


def _apart(train: Listing, val: Listing) -> tuple[Listing, Listing]:
    """Remove validation images from the training images, unless none would be left."""
    shared = train.keys & val.keys
    if not shared:
        return train, val
    rest = {
        name: [found for found in images if found.key not in shared]
        for name, images in train.classes.items()
    }
    rest = {name: images for name, images in rest.items() if images}
    _log.warning(
        "%s: %s in both %s and %s, %s.",
        *(shown(train.root.parent.name), count(len(shared), "file"), shown(train.root.name)),
        shown(val.root.name),
        "left out of the training"
        if rest
        else "so that validation errors are those of images that are trained on",
    )
    return replace(train, classes=rest or train.classes), val


def _tell_shared(listing: Listing) -> None:
    """Warn of images that would be in two classes."""
    names: dict[Key, list[str]] = {}
    for images in listing.classes.values():
        for found in images:
            names.setdefault(found.key, []).append(shown(found.path.relative_to(listing.root)))
    shared = [
        " is ".join(several[:_NAMED]) + (" and others" if len(several) > _NAMED else "")
        for several in names.values()
        if len(several) > 1
    ]
    if shared:
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        _log.warning(
            "%s: %s would be in more than one class (%s%s); each is used in one class only, the "
            "one of its own folder or the first.",
            *(
                shown(listing.root.name),
                count(len(shared), "file"),
                ", ".join(shared[:_NAMED]),
                more,
            ),
        )


def _tell_inner(listing: Listing) -> None:
    """Warn of folders in the only class, and of parts of a split that lie in classes."""
    inner: dict[str, set[str]] = {}
    for name, images in listing.classes.items():
        places = (found.path.relative_to(listing.root / name).parts for found in images)
        inner[name] = {place[0] if len(place) > 1 else "" for place in places}
    only = next(iter(inner.values())) if len(inner) == 1 else set()
    parts = [
        f"{name}/{folder}"
        for name, folders in inner.items()
        for folder in sorted(folders)
        if _role(folder) in (*TRAIN, *HELD_OUT)
    ]
    if len(only) > 1 and "" not in only:
        (name,) = inner
        _log.warning(
            "%s: all images are of one class, %s, which holds folders (%s): folder:%s reads these "
            "as classes.",
            *(shown(listing.root.name), shown(name), _name_some(sorted(only))),
            shown(listing.root / name),
        )
    elif parts:
        _log.warning(
            "%s: %s lie inside classes, and their images belong to these classes: the parts of a "
            "split must be folders above the classes.",
            *(shown(listing.root.name), _name_some(parts)),
        )


def _name_some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(shown, names[:_NAMED])) + more


def _tell_classes(train: Listing, val: Listing) -> None:
    """Warn of validation classes without training images, as after a typo in a name."""
    unknown = [name for name in val.classes if name not in train.classes]
    if unknown:
        _log.warning(
            "%s: %s has classes that %s lacks: %s.",
            *(shown(train.root.parent.name), shown(val.root.name), shown(train.root.name)),
            ", ".join(shown(name) or "images without a class" for name in unknown[:_NAMED]),
        )


def _tell_others(root: Path, listings: Iterable[Listing], *, strict: bool) -> None:
    """Warn of images in formats that are not read, or raise if `strict`."""
    suffixes = [suffix for listing in listings for suffix in listing.others]
    images = [suffix for suffix in suffixes if suffix in _OTHER_IMAGES]
    if not images:
        return
    n_files = len(suffixes) + sum(len(listing.paths) for listing in listings)
    which = (
        f"{shown(root.name)}: {len(images)} of {n_files} files are images of kinds that are not "
        f"read ({_count_suffixes(images)})"
    )
    if strict:
        raise DataError(f"{which}; without --strict they are passed over.")
    _log.warning("%s; passed over: PNG, JPEG or TIFF copies would be read.", which)


def describe_files(root: Path, listings: Iterable[Listing]) -> str:
    """Describe the number of files in the parts of a folder, and those passed over, by suffix."""
    listings = list(listings)
    others = [suffix for listing in listings for suffix in listing.others]
    n_images = sum(len(listing.paths) for listing in listings)
    n_repeated = sum(listing.n_repeated for listing in listings)
    passed = []
    if others:
        passed.append(f"{len(others)} passed over ({_count_suffixes(others)})")
    if n_repeated:
        passed.append(f"{count(n_repeated, 'further name')} of the same")
    total = n_images + len(others) + n_repeated
    files = count(total, "file")
    parts = [shown(listing.root.name) for listing in listings if listing.root != root]
    if parts:
        files += f" in {' and '.join(parts)}"
    return f"{files}: {', '.join(passed)}" if passed else files


def _count_suffixes(suffixes: Iterable[str]) -> str:
    counts = Counter(suffix or "without suffix" for suffix in suffixes).most_common()
    named = ", ".join(f"{shown(suffix)} {n}" for suffix, n in counts[:_NAMED])
    rest = sum(n for _, n in counts[_NAMED:])
    return f"{named}, others {rest}" if rest else named
