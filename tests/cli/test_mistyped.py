"""An error says what was mistyped, and which flag took it."""

import pytest
from tests.cli.builders import call


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # A backslash at the end of a line, without the space before it.
        (
            ["train", "--lr", "1e-3", "--activation", "tanh--examples_frac", "0."],
            "--activation got 'tanh--examples_frac': a space must come before --examples_frac",
        ),
        (["train", "--activation=tanh--examples-frac", "0."], "--activation got 'tanh--examples-"),
        (["train", "--activation", "tanh--nobatch_norm"], "--activation got 'tanh--nobatch_norm'"),
        (["train", "--arch", "8--lr=1e-3"], "--arch got '8--lr=1e-3': a space must come before"),
        (["train", "--num_epochs", "5--lr", "1"], "--num_epochs got '5--lr'"),
        (["train", "--nobatch_norm--objective", "loss"], "before --objective"),
        (["train--dataset", "digits"], "got 'train--dataset': a space must come before --dataset"),
        (["encode", "model--images", "x", "--out", "o.npy"], "got 'model--images': a space"),
        (["runs", "nowhere--json"], "got 'nowhere--json': a space must come before --json"),
        # A space behind the backslash, and the line ends of Windows.
        (["train", "--activation", "tanh", " "], "got ' ' as an argument: if a command continues"),
        (["train", "\t"], "the backslash must be the last character of the line"),
        (["train", "\r"], "the backslash must be the last character of the line"),
        (["train", "--lr=0\r"], "learning_rate must be greater than 0, got 0"),
        # What pages and word processors make of a line.
        (
            ["train", "—dataset", "mnist"],
            "EM DASH (U+2014), as web pages and word processors write it",
        ),
        (["train", "–lr", "1e-3"], "type '--lr'"),
        (["train", "--lr", "1e−3"], "MINUS SIGN (U+2212)"),
        (["train", "--arch", "500–500"], "type '500-500'"),
        (["train", "--arch=500–500"], "type '--arch=500-500'"),
        (["train", "--lr\xa01e-3"], "NO-BREAK SPACE (U+00A0)"),
        (["train", "--batch_size=\u200b64x"], "ZERO WIDTH SPACE"),
        (["train", "--dataset", "“digits”"], "type 'digits'"),
        # Values that are missing, or that nothing asks for.
        (["train", "--lr"], "--lr requires an argument"),
        (["train", "--activation", "--lr", "1e-3"], "--activation requires an argument"),
        (["train", "--storage", "--x"], "--storage requires a value, got --x, which looks like"),
        (["train", "--batch_norm", "yes"], "'yes' belongs to no flag: --batch_norm takes no value"),
        (["train", "--arch", "500", "500"], "'500' belongs to no flag"),
        (["train", "--arch", "8", "16"], "'16' belongs to no flag: --arch has taken '8'"),
        (["train", "stray"], "'stray' belongs to no flag."),
    ],
)
def test_it_is_told(line: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*line) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    "line",
    [
        ["train", "--bogus", "--out", "runs/a–b"],
        ["train", "--lr=0", "--out", "runs/x--lr_1"],
        ["train", "--lr=0", "--out", "runs/a–b"],
        ["train", "--lr=0", "--out", "runs/a--lr"],
        ["train", "--arch=500--500"],
    ],
)
def test_names_that_only_look_mistyped_are_left_alone(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*line) == 2
    err = capsys.readouterr().err
    assert "space" not in err
    assert "DASH" not in err
