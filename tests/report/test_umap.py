"""The map of long latents, by umap-learn where it is installed."""

from pathlib import Path

import numpy as np
import pytest
from tests.report.test_page import make_model

from autodecoder.errors import ConfigError, DataError
from autodecoder.report import umap, write_model_page


def test_without_umap_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'autodecoder\[umap\]'"):
        write_model_page(make_model(5), tmp_path / "page.html", umap=True)
    assert not (tmp_path / "page.html").exists()


def test_clusters_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its functions take a minute to compile, and a few seconds for few latents if they are not.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    pytest.importorskip("umap", reason="umap-learn is not installed (extra umap)")
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(60, 8)) + 20 * (np.arange(60) % 2)[:, None]
    latents[7] = np.nan
    rows, places = umap.map_latents(latents)
    assert len(rows) == 59
    assert 7 not in rows
    groups = [places[rows % 2 == k] for k in (0, 1)]
    apart = np.linalg.norm(groups[0].mean(0) - groups[1].mean(0))
    assert apart > 3 * max(group.std() for group in groups)
    with pytest.raises(DataError, match="20 latents at least, got 19"):
        umap.map_latents(latents[40:59])
