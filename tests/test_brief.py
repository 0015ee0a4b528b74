"""Results fit into a line at a prompt, and importing says nothing in a notebook."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.test_page import make_model
from tests.report.test_pictures import noise, study

from autodecoder.core.losses import Errors
from autodecoder.model.tables import Standardization

MODEL = make_model(use=" of a test", class_names=["a"] * 40)
NOISE = noise()
STUDY = study(Path("/somewhere") / ("x" * 300))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "part"),
    [
        (MODEL, "latents=float32[300, 2]"),
        (replace(MODEL, history={"loss": np.ones(900)}), "history={'loss': float64[900]}"),
        (NOISE, "Dataset(name='noise', train=ImageSet(images=uint8[30, 4, 5, 1]"),
        (NOISE.train, "ImageSet(images=uint8[30, 4, 5, 1], labels=int64[30], columns={})"),
        (replace(NOISE, class_names=("line\nfeed", "\x1b[31m")), "('line\\nfeed', '\\x1b[31m')"),
        (STUDY, "trials=tuple of 2"),
        (STUDY.trials[0], "values={'learning_rate': "),
        (STUDY.trials[0].executions[0], "status='finished'"),
        (lambda: MODEL.infer(np.zeros((9, 6, 5), np.uint8)), "errors=Errors(loss=float32[9]"),
        (lambda: MODEL.trace(np.zeros((6, 5), np.uint8)), "found=Inference(latents=float32[1, 2]"),
        (lambda: MODEL.sample(7), "Generated(latents=float32[7, 2], images=float32[7, 6, 5, 1])"),
        (Errors(*np.ones((3, 5000))), "Errors(loss=float64[5000]"),
        (Standardization(*np.ones((2, 5000))), "Standardization(mean=float64[5000]"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_result_is_shown_in_a_line(shown: Any, part: str) -> None:
    # What has to be computed is, when it is its turn, not when tests are collected.
    text = repr(shown() if callable(shown) else shown)
    assert part in text
    assert len(text) < 400
    assert text.isprintable()


def test_what_is_equal_stays_so() -> None:
    assert replace(MODEL) != MODEL
    assert MODEL in {MODEL}
    assert Standardization(1, 2) == (1, 2)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_importing_says_nothing_in_a_notebook_without_widgets() -> None:
    program = """if True:
        import sys, types
        sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
        sys.modules["IPython"] = types.ModuleType("IPython")
        sys.modules["IPython"].get_ipython = lambda: None
        for name in ("ipywidgets", "IPython.html", "IPython.html.widgets"):
            sys.modules[name] = None
        import autodecoder, autodecoder.report, autodecoder.explorer
        for name in autodecoder.__all__:
            getattr(autodecoder, name)
        from autodecoder.data.download import cache_dir
        cache_dir()
        try:
            autodecoder.from_pretrained("a:b/c")
        except autodecoder.AutodecoderError:
            pass
        assert "pooch" in sys.modules and "optuna" in sys.modules and "tqdm.auto" in sys.modules
    """
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
