"""The pages as `make docs` builds them: links lead somewhere, and nothing needs a network."""

import os
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent


@dataclass
class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    text: str
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.tags.add(tag)
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical" and "href" in given:
            self.loads.append(given["href"])
        elif "src" in given:
            self.loads.append(given["src"])


@pytest.fixture(scope="module")
def site() -> dict[Path, Page]:
    """All built pages by their files; none of this is looked at before they are built."""
    if "AUTODECODER_SITE" not in os.environ:
        pytest.skip("the site is not built (make docs builds it, then runs these tests)")
    folder = (ROOT / os.environ["AUTODECODER_SITE"]).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    assert len(pages) > 10
    return pages


def test_every_link_leads_to_a_place(site: dict[Path, Page]) -> None:
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name} links to {link}"
            if parts.fragment and target in site:
                found = unquote(parts.fragment) in site[target].places
                assert found, f"{path.name} links to {link}, which is no place there"


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    folder = min(site, key=lambda path: len(path.parts)).parent
    for path, page in site.items():
        for source in page.loads:
            parts = urlsplit(source)
            if parts.scheme == "data" or source == "#":
                continue
            assert not parts.netloc, f"{path.name} loads {source}"
            assert (path.parent / unquote(parts.path)).is_file(), f"{path.name} loads {source}"
    for style in folder.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8"))


def test_formulas_are_shown_by_the_browser_itself(site: dict[Path, Page]) -> None:
    shown = {path.stem for path, page in site.items() if "math" in page.tags}
    assert {"method", "inference", "recipes", "cost"} <= shown
    for path, page in site.items():
        assert "$$" not in page.text, path.name
        assert "MathJax" not in page.text, path.name


def test_no_path_of_the_machine_is_told(site: dict[Path, Page]) -> None:
    for path, page in site.items():
        assert str(ROOT) not in page.text, path.name
        assert "site-packages" not in page.text, path.name
