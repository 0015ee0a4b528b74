"""Fonts of figures: matplotlib's own, and installed ones for letters that it lacks."""

import logging
from functools import cache

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, fontManager, get_font

_log = logging.getLogger(__name__)

#: Fonts with letters of many scripts, in the order in which they are used. TrueType fonts come
#: first, since matplotlib embeds only these in a PDF without faults.
_FALLBACKS = (
    *(
        "Droid Sans Fallback",
        "WenQuanYi Micro Hei",
        "WenQuanYi Zen Hei",
        "IPAGothic",
        "IPAexGothic",
    ),
    *("TakaoGothic", "VL Gothic", "NanumGothic", "UnDotum", "Noto Sans JP", "Noto Sans SC"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Segoe UI Symbol"),
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans"),
    *("FreeSans", "FreeSerif", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
    *("Noto Sans Thai", "Lohit Devanagari", "Noto Sans", "Unifont"),
)
#: In place of a letter that no font has.
_BOX = "\u25a1"

_missing: dict[str, None] = {}
_told: set[str] = set()


@cache
def font_families() -> tuple[str, ...]:
    """The families that figures use: a letter is drawn by the first one that has it."""
    installed = {font.name for font in fontManager.ttflist}
    own = mpl.rcParamsDefault["font.sans-serif"][0]
    return (own, *(name for name in _FALLBACKS if name in installed))


def with_boxes(text: str) -> str:
    """Replace letters that no font of a figure has by boxes, and note them for `tell_missing`.

    Text for a figure with other fonts, such as a user's own, is returned as it is.
    """
    if tuple(mpl.rcParams["font.family"]) != font_families():
        return text
    lacking = [letter for letter in text if ord(letter) not in _letters(font_families())]
    _missing.update(dict.fromkeys(lacking))
    return "".join(_BOX if letter in lacking else letter for letter in text)


def tell_missing() -> None:
    """Log a warning about letters that were replaced by boxes, once for each letter."""
    letters = [letter for letter in _missing if letter not in _told]
    _missing.clear()
    _told.update(letters)
    if letters:
        _log.warning(
            "no font for %s is installed: figures show boxes instead. Fonts such as Droid Sans "
            "Fallback or Noto Sans CJK have many letters.",
            "".join(letters),
        )


@cache
def _letters(families: tuple[str, ...]) -> frozenset[int]:
    paths = {fontManager.findfont(FontProperties(family=[name])) for name in families}
    return frozenset(code for path in paths for code in get_font(path).get_charmap())
