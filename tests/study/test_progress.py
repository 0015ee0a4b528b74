"""A bar for each group of trials under way, and the caller is told the same."""

import math

import pytest

from autodecoder.study import Progress
from autodecoder.study.progress import study_bars

NEWS = (
    Progress("compile"),
    Progress("fit", 2, 6, 1, 3, 0.5, math.nan),
    Progress("fit", 3, 6, 1, 3, 0.75, 0.5, group=1),
    Progress("fit", 6, 6, 3, 3, 0.25, 0.5),
    Progress("end", group=1),
    Progress("fresh validation", 0, 2),
    Progress("fresh validation", 1, 2),
    Progress("end"),
)


@pytest.mark.parametrize("verbose", [True, False])
def test_bars_say_what_is_known(verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Progress] = []
    with study_bars(told.append, verbose) as tell:
        for news in NEWS:
            tell(news)
    assert told == list(NEWS)
    shown = capsys.readouterr()
    assert shown.out == ""
    if not verbose:
        assert shown.err == ""
        return
    lines = shown.err.split("\r")
    for text in (
        ("compiling:   0 %",),
        ("epoch 1/3:  33 %", "loss 0.5000"),
        ("epoch 1/3:  50 %", "loss 0.7500  val_loss 0.5000"),
        ("epoch 3/3: 100 %", "loss 0.2500  val_loss 0.5000"),
        ("fresh validation 2/2:  50 %",),
    ):
        assert any(all(part in line for part in text) for line in lines), (text, lines)
