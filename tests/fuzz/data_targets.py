"""Readers of images, arrays and tables."""

import gzip
import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.data.builders import cifar_record, coloured_image, idx, tar
from tests.fuzz.seals import BETWEEN, seal_png, seal_tar, zipped
from tests.fuzz.target import Target, of_file, of_folder, one_of, scratch

from autodecoder.data import load_dataset
from autodecoder.data.arrays import open_arrays, open_images
from autodecoder.data.cifar import parse_cifar
from autodecoder.data.columns import read_columns
from autodecoder.data.decode import UnreadableImage, decode_image, read_head
from autodecoder.data.files import read_maybe_gzipped, read_members
from autodecoder.data.given import open_labels, open_latents
from autodecoder.data.idx import parse_idx
from autodecoder.data.journal import read_journal
from autodecoder.data.names import Named, format_names, read_names
from autodecoder.data.pack_writer import PackWriter
from autodecoder.data.packed import check_packed, open_packed, read_further
from autodecoder.data.split_file import read_split
from autodecoder.data.tables import read_table
from autodecoder.errors import DataError

PIXELS = np.arange(6 * 3 * 4, dtype=np.uint8).reshape(6, 3, 4) * 3
_HEADERS = tuple(
    text.encode()
    for text in (
        *("'descr': '<f4'", "'|O'", "'|V0'", "'<U0'", "'|S1'", "'>u2'", "'<f2'", "'<c8'", "'|b1'"),
        *("'<M8[ns]'", "'fortran_order': True", "(0,)", "()", "(1,)", "(6, 3, 4)", "(-1,)"),
        *("(2147483648, 4)", "(4611686018427387904, 0)", "(True,)", "(6.0,)", "[('a', '<f4')]"),
        *("'<f4', (2, 3)", "(" * 60, "None", "L", "\x93NUMPY\x03\x00", "nan", "inf"),
    )
)
_CELLS = tuple(
    text.encode()
    for text in (
        *(",", ";", "\t", '"', '""', "\n", "\r", "\r\n", "#", "# ", "sep=;\n", "\ufeff", "1,5"),
        *("1.234,5", "1 234", "1e999", "nan", "-inf", "1_0", "٣", "\0", "name", "part", "group"),
        *("train", "val", "test", "index", "latent_0", "latent_1", "\x85", "\u2028", "x" * 140_000),
        *("label", "0x1p3", "1e-400", " ", "'", "\\", "./", "000", "1.0"),
    )
)


def of_idx() -> Target:
    def read(content: bytes) -> None:
        parse_idx(content[1:], n_axes=1 + content[0] % 3 if content else 3, name="a file")

    seeds = (b"\2" + idx(PIXELS), b"\0" + idx(np.arange(9)))
    return Target(seeds, read, tokens=(bytes(4), b"\xff" * 4, b"\0\0\x08\x03"))


def of_idx_files() -> Target:
    """IDX files on disk, gzipped or not."""
    whole = idx(PIXELS)
    return of_file("images-idx3-ubyte", [whole, gzip.compress(whole, mtime=0)], open_images)


def of_cifar() -> Target:
    ranges = ((10,), (20, 100))
    seeds = tuple(
        bytes([k]) + cifar_record((3,) * len(of), coloured_image(3)) for k, of in enumerate(ranges)
    )

    def read(content: bytes) -> None:
        k = content[0] % 2 if content else 0
        parse_cifar(content[1:], label_ranges=ranges[k], name="a file")

    return Target(seeds, read)


def of_archive() -> Target:
    """The archives of published data sets."""
    whole = tar({"folder/a.bin": b"abc" * 9, "b.bin": b"xyz"}, mode="w")
    tokens = (b"ustar", b"S", b"L", b"K", b"x", b"g", b"17 size=99999999\n", b"77777777777\0")
    sparse = (b"GNU.sparse.major=1\n", b"22 GNU.sparse.major=1\n", b"\x80\0\0\0\xff\xff\xff\xff")

    place = scratch() / "archive.tar.gz"

    def read(content: bytes) -> None:
        place.write_bytes(seal_tar(content))
        read_members(place, ("a.bin", "b.bin"))

    return Target((whole, gzip.compress(whole, mtime=0)), read, tokens + sparse)


def of_gzip() -> Target:
    return of_file("file.gz", [gzip.compress(b"abc" * 99, mtime=0)], read_maybe_gzipped)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def of_npy() -> Target:
    arrays = (PIXELS, PIXELS / 255, np.asfortranarray(PIXELS[..., None].repeat(4, 3)))

    def read(path: Path) -> None:
        load_dataset(f"npy:{path}", alpha="mask" if path.stat().st_size % 2 else "white")

    return of_file("images.npy", list(map(npy, arrays)), read, tokens=_HEADERS)


def members(**arrays: np.ndarray) -> bytes:
    """An input of `zipped`."""
    return BETWEEN.join(f"{name}.npy\n".encode() + npy(a) for name, a in arrays.items())


def of_npz() -> Target:
    """Archives of arrays: damaged as a whole, or made anew of damaged members."""
    place = scratch() / "images.npz"
    words = np.array(["a", "b"] * 3)
    given = (
        {"images": PIXELS, "labels": np.arange(6) % 2},
        {"x_train": PIXELS, "y_train": words, "x_test": PIXELS[:2], "y_test": words[:2]},
        {"images": PIXELS / 255, "mask": PIXELS > 9, "labels": np.eye(6)},
    )
    seeds = [b"\0" + members(**arrays) for arrays in given]
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **given[0])
        seeds.append(b"\1" + buffer.getvalue())

    def read(content: bytes) -> None:
        is_whole = content[:1] == b"\1"
        place.write_bytes(content[1:] if is_whole else zipped(content[1:]))
        load_dataset(f"npz:{place}")

    names = (b"images", b"labels", b"mask", b"val_images", b"val_labels", b"val_mask", b".npy\n")
    return Target(tuple(seeds), read, tokens=(*_HEADERS, *names, BETWEEN, b"PK\3\4", b"PK\1\2"))


def of_mask() -> Target:
    """A mask file beside images."""
    place = scratch()
    (place / "images.npy").write_bytes(npy(PIXELS))
    masks = ((PIXELS > 9), (PIXELS > 9).astype(np.uint8), (PIXELS[0] > 9) * 255.0)
    seeds = [b"\0" + npy(mask) for mask in masks]
    seeds.append(b"\1" + members(mask=masks[0]))

    def read(content: bytes) -> None:
        is_archive = content[:1] == b"\1"
        mask = place / ("mask.npz" if is_archive else "mask.npy")
        mask.write_bytes(zipped(content[1:]) if is_archive else content[1:])
        load_dataset(f"npy:{place / 'images.npy'}", mask=mask)

    return Target(tuple(seeds), read, tokens=_HEADERS)


def pictures() -> tuple[bytes, ...]:
    """A small image of each format and of most modes, as Pillow writes them."""
    kinds: list[tuple[str, str, Mapping[str, Any]]] = [
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
        *(("JPEG", "RGB", {"progressive": True}), ("WEBP", "RGBA", {}), ("WEBP", "RGB", {})),
        *(("BMP", "RGB", {}), ("BMP", "P", {}), ("DIB", "L", {}), ("GIF", "P", {})),
        *(("PPM", "L", {}), ("PPM", "RGB", {}), ("PPM", "1", {}), ("PPM", "F", {})),
        *(("TIFF", mode, {}) for mode in ("1", "L", "I;16", "RGB", "RGBA", "F", "CMYK", "LAB")),
        *(("TIFF", "RGB", {"compression": by}) for by in ("tiff_lzw", "packbits", "jpeg")),
        ("TIFF", "L", {"compression": "tiff_deflate"}),
        ("TIFF", "1", {"compression": "group4"}),
    ]
    found = []
    for form, mode, options in kinds:
        buffer = io.BytesIO()
        Image.new(mode, (7, 5)).save(buffer, form, **options)
        found.append(buffer.getvalue())
    return tuple(found)


def of_images() -> Target:
    """Image files through Pillow, with and without scaling; one image may have 50 megapixels."""
    seeds = pictures()
    pixels = np.zeros((5, 7, 3), np.uint8)

    def read(content: bytes) -> None:
        sealed = io.BytesIO(seal_png(content))
        size = None if len(content) % 2 else (5, 7)
        try:
            of = (0.0, 255.0) if content[:2] in (b"Pf", b"PF") or len(content) % 5 == 0 else None
            head = read_head(sealed, size, of)
            known = np.ones((5, 7), bool) if len(content) % 3 == 0 else None
            decode_image(sealed, size, pixels[..., :1] if head.grey else pixels, of, known)
        except UnreadableImage as error:
            raise DataError(str(error)) from error

    tokens = (b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"zTXt", b"iCCP", b"acTL", b"fdAT")
    exif = (b"Exif\0\0II*\0\x08\0\0\0", b"\xff\xc4", b"\xff\xda", b"\xff\xd8", b"\xff\xc2", b"ALPH")
    return Target(seeds, read, (*tokens, *exif, b"VP8X", b"P6 7 5 255\n", b"II*\0"), 2**30)


def of_packed() -> Target:
    """Packed images: the manifest, and the files of the shards."""
    place, folder = scratch(), scratch()
    with PackWriter(place, (3, 4, 1), ("a", "b"), {"made": "here"}) as writer:
        images, labels = PIXELS[..., None], np.arange(6) % 2
        columns = read_columns("columns", {"site": [*"NSNSNS"]}, 6)
        writer.write("train", 0, images, labels, np.array([*"uvwxyz"]), columns=columns)
        writer.write("val", 0, images[:2], labels[:2], np.arange(2))
        writer.finish()
    paths = sorted(path for path in place.iterdir() if not path.name.startswith("."))
    files = {path.name: path.read_bytes() for path in paths}

    def read(folder: Path) -> None:
        packed = open_packed(folder)
        read_further(packed, "all")
        assert np.asarray(packed.train.images).shape[1:] == packed.manifest.head.image_shape
        load_dataset(f"packed:{folder}")
        check_packed(folder)

    return of_folder(files, read, folder=folder, tokens=(*_HEADERS, *_CELLS))


def of_journal() -> Target:
    """The journal of an unfinished packing."""
    place = scratch()
    with PackWriter(place, (3, 4, 1), ("a", "b"), {"made": "here"}) as writer:
        writer.write("train", 0, PIXELS[..., None], np.arange(6) % 2)
    name = "unfinished.jsonl"
    return of_folder({name: (place / name).read_bytes()}, read_journal, tokens=(b"\n",))


def of_tables() -> Target:
    """Tables of features and of latents, and labels."""
    seeds = (
        *(b"1,2\n3,4\n", b"a;b\n1,5;2\n3;4\n", b"# x y\n1 2\n3 4\n", b"latent_0,latent_1\n1,2\n"),
        *(b'sep=;\r\n1;2\r\n"3";4\r\n', b"\xef\xbb\xbf1\t2\n", b"1.234,5;2\n1;2\n"),
    )
    readers = (read_table, open_latents, open_labels)
    return of_file("table.csv", seeds, *readers, tokens=_CELLS)


def of_split() -> Target:
    seeds = (
        *(b"name,part\n0,train\n1,val\n2,train\n", b"0;a\n1;b\n2;a\n", b"2,val\n1,train\n0,test\n"),
        b"name,part,group\n0,train,x\n1,val,y\n2,train,x\n",
    )

    def read(path: Path) -> None:
        read_split(path, np.arange(3))

    return of_file("split.csv", seeds, read, tokens=_CELLS)


def of_names() -> Target:
    """The names of a model's images."""
    train = Named(np.array([*"abc"], object), np.arange(3), {"site": np.array([*"NSN"], object)})
    content = format_names(train, Named(np.arange(2), None), ("x", "y", "z"))
    return of_file("images.csv", [content], lambda path: read_names(path, 3, 2), tokens=_CELLS)


def of_listed() -> Target:
    """Tables of image files, and the archives of WebDataset."""
    image = pictures()[1]
    content = tar(
        {"0.png": image, "0.cls": b"a", "1.png": image, "1.json": b'{"label": "b"}'}, mode="w"
    )
    table = b"path,label,site\na.png,x,N\nb.png,y,S\n"

    listed = of_folder(
        {"table.csv": table, "a.png": image, "b.png": image},
        partial(_load, kind="csv", name="table.csv"),
        seal=lambda _, content: seal_png(content),
        tokens=_CELLS,
        most_bytes=2**30,
    )
    archive = of_folder(
        {"a.tar": content},
        partial(_load, kind="tar", name="a.tar"),
        seal=lambda _, content: seal_tar(content),
    )
    return one_of(listed, archive)


def of_zarr() -> Target:
    """Zarr arrays of both layouts, in chunks of files."""
    sides = {"shape": [4, 3, 3], "fill_value": 0}
    old = {"zarr_format": 2, "chunks": [4, 3, 3], "dtype": "|u1", "order": "C", **sides}
    grid = {"name": "regular", "configuration": {"chunk_shape": [4, 3, 3]}}
    keys = {"name": "default", "configuration": {"separator": "/"}}
    new = {"zarr_format": 3, "node_type": "array", "data_type": "uint8", **sides}
    new |= {"chunk_grid": grid, "chunk_key_encoding": keys, "codecs": [{"name": "bytes"}]}

    layouts = (
        {
            ".zarray": json.dumps({**old, "compressor": None, "filters": None}).encode(),
            "0.0.0": bytes(range(36)),
        },
        {"zarr.json": json.dumps(new).encode(), "c/0/0/0": bytes(range(36))},
    )
    tokens = (b'"id": "zlib"', b'"name": "gzip"', b'"compressor": {"id": "bz2"}', b"1e9", b"-1")
    load = partial(_load, kind="zarr", name="")
    targets = (of_folder(files, load, tokens=tokens, most_bytes=2**30) for files in layouts)
    return one_of(*targets)


def _load(place: Path, *, kind: str, name: str) -> None:
    load_dataset(f"{kind}:{place / name}")


def of_arrays() -> Target:
    """Arrays as `encode` and `decode` take them, whatever their shape and type."""
    seeds = [npy(PIXELS / 255), zipped(members(latents=PIXELS[0] / 1.0))]
    return of_file("a.npy", seeds, lambda path: open_arrays(path, "latents"), tokens=_HEADERS)


#: The targets of this module, by their names.
BUILDERS: dict[str, Callable[[], Target]] = {
    "idx": of_idx,
    "idx-files": of_idx_files,
    "cifar": of_cifar,
    "archive": of_archive,
    "gzip": of_gzip,
    "npy": of_npy,
    "npz": of_npz,
    "arrays": of_arrays,
    "mask": of_mask,
    "images": of_images,
    "listed": of_listed,
    **({"zarr": of_zarr} if find_spec("zarr") else {}),
    "packed": of_packed,
    "journal": of_journal,
    "csv": of_tables,
    "split": of_split,
    "names": of_names,
}
