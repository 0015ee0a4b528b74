"""How Sphinx builds the pages of docs/, by `make docs`. Neither needs a network."""

# pyright: reportMissingImports=false
# Sphinx and its kin are installed by `make docs` only.

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import NumpyDocstring

from autodecoder import __version__

ROOT = Path(__file__).parent.parent

project = "autodecoder"
version = release = __version__
project_copyright = "the autodecoder authors, MIT licence"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
smartquotes = False  # they would make one dash of the two of a flag

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"  # an error ends the build; the rest is chatter of libraries

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say types with their shapes and units

default_role = "code"  # of names between single backticks in docstrings

# Cross-references that lead nowhere are errors. The one name is no part of the front door, and an
# entry of its own would give the pages of sources a link to a place that is not there.
nitpicky = True
nitpick_ignore = [("py:exc", "MemoryLimitError")]

html_theme = "furo"
html_title = f"autodecoder {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"


_NAPOLEON: Any = Config(napoleon_use_param=False, napoleon_use_rtype=False)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (_math("inline"), None), (_math("block"), None))
    app.connect("source-read", _lead_out)
    app.connect("autodoc-process-docstring", _read_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _math(display: str) -> Callable[[Any, nodes.Element], None]:
    """Formulas as MathML, which browsers show by themselves: no script, nothing to fetch."""

    def visit(writer: Any, node: nodes.Element) -> None:
        # A condition stands below its operator, as TeX sets it in a display.
        formula = re.sub(r"\\min(?=_)", r"\\min\\limits", node.astext())
        formula = convert(formula if display == "block" else node.astext(), display=display)
        kind = "span" if display == "inline" else "div"
        writer.body.append(f'<{kind} class="math">{formula}</{kind}>')
        raise nodes.SkipNode

    return visit


def _lead_out(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Links out of docs/, which are right in a checkout: the results have a page here, files can
    be downloaded, and folders are named only."""
    text = source[0].replace("](../benchmarks/RESULTS.md", "](results.md")
    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)#]+)\)", _name_folder, text)


def _name_folder(link: re.Match[str]) -> str:
    return f"`{link[1]}`" if (ROOT / "docs" / link[2]).is_dir() else link[0]


def _read_docstring(
    app: Sphinx, kind: Any, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """NumPy's sections become reStructuredText; the class of a configuration gets its settings.

    Not so in the line below an attribute: what stands before a colon there would count as a type.
    """
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()  # Python's own words on a field of a tuple
    elif kind not in ("attribute", "property"):
        told = [*lines, *_settings(thing)]
        read = NumpyDocstring(told, _NAPOLEON, app, kind, name, thing, options)
        lines[:] = str(read).splitlines()


def _settings(thing: Any) -> list[str]:
    """The section of parameters of a configuration: its settings tell their meaning themselves."""
    if not (isinstance(thing, type) and dataclasses.is_dataclass(thing)):
        return []
    told = []
    for f in dataclasses.fields(thing):
        default = f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        if "meaning" in f.metadata:
            told += [f"{f.name} : {_type(f.type)}, default {default!r}"]
            told += [f"    {f.metadata['meaning']}"]
        elif dataclasses.is_dataclass(default):
            first = (type(default).__doc__ or "").splitlines()[0]
            told += [f"{f.name} : {_type(f.type)}", f"    {first}"]
    return ["", "Parameters", "----------", *told] if told else []


def _type(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return re.sub(r"\b[a-z]+(\.[a-z]+)*\.(?=[A-Z])", "", str(annotation))
