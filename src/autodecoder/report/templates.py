"""Rendering pages from templates, with styles and scripts included."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from autodecoder._version import __version__

_ROOM = "autodecoder.report"
#: What a page may do: run its own scripts, and load nothing.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """Fill the template of a page that is a file.

    Its policy names a nonce, without which no script runs. It is a hash of the page, so that equal
    pages are equal files, and no text in a page can know it.
    """
    bare = render(template, {**context, "nonce": "", "policy": ""})
    nonce = hashlib.sha256(bare.encode("utf-8", "replace")).hexdigest()[:32]
    return render(template, {**context, "nonce": nonce, "policy": _POLICY.format(nonce=nonce)})


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
