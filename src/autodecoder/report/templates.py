"""Rendering pages from templates, with styles and scripts included."""

from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from autodecoder._version import __version__

_ROOM = "autodecoder.report"


def render(template: str, context: Mapping[str, Any], *, room: str = _ROOM) -> str:
    """Fill a template of the folder `assets` of the package `room`, or of this one.

    In a template, `text(name)` inserts a file of these folders unchanged, and `version` is the
    version of autodecoder.
    """
    loader = jinja2.ChoiceLoader(
        [jinja2.PackageLoader(name, "assets") for name in dict.fromkeys((room, _ROOM))]
    )
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.globals.update(
        version=__version__, text=lambda name: Markup(loader.get_source(environment, name)[0])
    )
    return environment.get_template(template).render(context)
