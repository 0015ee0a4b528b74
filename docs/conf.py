"""How Sphinx builds the pages of docs/: `make docs`. Nothing here or in the pages needs a network."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

from autodecoder import __version__
from autodecoder.config import format_arch

ROOT = Path(__file__).parent.parent

project = "autodecoder"
version = release = __version__
project_copyright = "the autodecoder authors, MIT licence"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
smartquotes = False  # they would make one dash of the two of a flag

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types with their shapes and units
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False

# Cross-references that lead nowhere are errors (-n), all of them: none is ignored.
nitpicky = True

html_theme = "furo"
html_title = f"autodecoder {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (_math("inline"), None), (_math("block"), None))
    app.connect("source-read", _lead_out)
    app.connect("autodoc-process-docstring", _list_settings, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _math(display: str) -> Callable[[Any, nodes.Element], None]:
    """Formulas as MathML, which browsers show by themselves: no script, nothing to fetch."""

    def visit(writer: Any, node: nodes.Element) -> None:
        formula = convert(node.astext(), display=display)
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


def _list_settings(
    _app: Sphinx, kind: str, _name: str, thing: Any, _options: Any, lines: list[str]
) -> None:
    """Give the class of a configuration its settings, which tell their meaning themselves."""
    if kind != "class" or not dataclasses.is_dataclass(thing):
        return
    told = [f for f in dataclasses.fields(thing) if "meaning" in f.metadata]
    if told:
        lines += ["", "Parameters", "----------"]
    for f in told:
        lines += [f"{f.name} : {_type(f)}, default {_default(f)}", f"    {f.metadata['meaning']}"]


def _type(f: dataclasses.Field[Any]) -> str:
    return f.type.__name__ if isinstance(f.type, type) and not hasattr(f.type, "__args__") else (
        str(f.type).replace("pathlib.", "").replace("collections.abc.", "")
    )


def _default(f: dataclasses.Field[Any]) -> str:
    return repr(f.default)
