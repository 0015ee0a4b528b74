"""Bad input: one sentence, status 2, and nothing left behind."""

import re
import shutil
from pathlib import Path

import pytest
from tests.cli.builders import QUICK, call, refusal, train

SENTENCES = [
    (["--dataset=minst"], "dataset must be one of digits, mnist.*'minst'; did you mean mnist"),
    (["--activation=relux"], "activation must be one of .*'relux'"),
    (["--objective=acc"], "objective must be one of .*'acc'"),
    (["--recipe=fastest"], "recipe must be one of fast, original, got 'fastest'"),
    (["--scaler=log"], "scaler must be one of .*'log'"),
    (["--arch=500--500"], "arch must be .*'500--500'"),
    (["--arch=abc"], "arch must be .*'abc'"),
    (["--arch=0"], "arch must be .*'0'"),
    (["--examples_frac=1.5"], "examples_frac must lie between 0 and 1.*1.5"),
    (["--examples_frac=-0.1"], "examples_frac .*-0.1"),
    (["--lr=0"], "learning_rate must be greater than 0, got 0"),
    (["--lr=-1e-3"], "learning_rate must be greater than 0, got -0.001"),
    (["--lr", "-1e-3"], "learning_rate must be greater than 0, got -0.001"),
    (["--lr=nan"], "learning_rate must be a finite number, got nan"),
    (["--num_epochs=0"], "num_epochs must be a positive whole number, got 0"),
    (["--num_epochs=-5"], "num_epochs must be a positive whole number, got -5"),
    (["--batch_size=0"], "batch_size must be a positive whole number, got 0"),
    (["--latent_dims=0"], "latent_dims must be a positive whole number, got 0"),
    (["--executions_per_trial=0"], "executions_per_trial must be a positive"),
    (["--seed=-1"], "seed must lie between 0 and 4294967295, got -1"),
    (["--dataset=mnist", "--data_dir=nowhere"], "data_dir must be an existing folder.*nowhere"),
    (["--bogus=1"], "--bogus.* See `autodecoder train --help`"),
    (["--num_epochs=ten"], "num_epochs must be a whole number, got 'ten'"),
    (["--latent-dims=2.6"], "latent_dims must be a whole number, got '2.6'"),
    (["--max_trials=2.6"], "max_trials must be a whole number, got '2.6'"),
    (["--num_epochs=1000000000000"], "num_epochs must be at most 1000000, got"),
    (["--lr=1e300"], "learning_rate must be a number of single precision, got 1e.300"),
    (["--lr=1e-60"], "learning_rate must be a number of single precision, got 1e-60"),
    (["--batch_norm", "--batch_size=1"], "batch_size must be at least 2 with batch normalisation"),
    (["--data_dir", "x" * 300, "--dataset=mnist"], "data_dir must be an existing folder"),
    (["--lr"], "--lr requires an argument"),
    (["--lr=1e-3", "--lr=1e-2"], "--lr specified multiple times"),
    (["--batch_norm=perhaps"], "--batch_norm.*perhaps"),
    (["stray"], "stray"),
    # The search
    (
        ["--lr=1e-3", "--tune=lr=1e-2"],
        "learning_rate is given twice, by --tune lr=1e-2 and its own flag",
    ),
    (["--lr=1e-3", "--tune=learning-rate=1e-2"], "learning_rate is given twice"),
    (["--latent_dims=4", "--tune=latent_dims=2,8"], "latent_dims is given twice, by --tune latent"),
    (
        ["--tune=arch=8,16", "--arch=99"],
        "arch is given twice, by --tune arch=8,16 and its own flag",
    ),
    (["--nobatch_norm", "--tune=batch_norm=yes,no"], "batch_norm is given twice"),
    (["--latent_lr=1", "--tune=latent_lr=1,2"], "latent_learning_rate is given twice"),
    (
        ["--tune=arch=8", "--tune=arch=16"],
        "arch is given twice, by --tune arch=16 and another --tune",
    ),
    (["--tune=lr="], "the search space of learning_rate is empty"),
    (["--tune=lr"], "tune must be name=values, .*, got 'lr'"),
    (["--tune=seed=1,2"], "a setting to tune must be one of learning_rate, .*, got 'seed'"),
    (["--tune=latent_dim=2"], "a setting to tune must be .*; did you mean latent_dims"),
    (["--tune=lr=0.1,0.1"], "the values searched for learning_rate must differ"),
    (["--tune=lr=1e-3,nan"], "learning_rate must be a finite number, got nan"),
    (["--tune=lr=log:1e-1:1e-4:10"], "a range of learning_rate .* must rise"),
    (["--tune=lr=log:1e-4:1e-1"], "a grid needs values of learning_rate, not a range.*--sampler"),
    (["--tune=dropout_rate=0.1,1.5"], "dropout_rate must be at least 0 and below 1, got 1.5"),
    (["--tune=activation=relu,rellu"], "activation must be .* got 'rellu'; did you mean relu"),
    (["--sampler=bayes"], "sampler must be one of grid, random, tpe, got 'bayes'"),
    (["--sampler=tpe"], "max_trials must be given for the sampler tpe"),
    (["--executions_per_trial=251"], "4 trials of 251 executions, 1,004 runs in all; give --yes"),
    # The log
    (["--tracker=weights"], "tracker must be one of gradients, got 'weights'"),
    (["--tracker=gradients"] * 2, "each tracker must be named once, got gradients, gradients"),
    (["--augmentation=zom"], "augmentation must be one of .* got 'zom'; did you mean zoom"),
    (["--histogram_freq=-1"], "histogram_freq must be a whole number, 0 or more, got -1"),
    (["--checkpoint_every=0"], "checkpoint_every must be a positive whole number, got 0"),
    # The storage
    (["--storage=nonsense"], "storage must be the URL of a database, .*, got 'nonsense'"),
    (["--storage=nodb://here/x"], "the storage nodb://here/x .*"),
    (["--storage=sqlite:////no/such/folder/x.db"], "x.db cannot be used: unable to open"),
    # Paths
    (["--config=nowhere.toml"], "config cannot be read: nowhere.toml: No such file"),
    (["--config=."], "config cannot be read: .: Is a directory"),
    (["--config", "x" * 300], "config cannot be read: x*: File name too long"),
    (["--out", "x" * 300], "x+(/config.json)? cannot be used: File name too long"),
]


@pytest.mark.parametrize(("flags", "words"), SENTENCES, ids=lambda value: " ".join(value)[:60])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    flags: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(*flags) == 2
    err = refusal(capsys)
    assert re.search(words, err), err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[[[", "config must be a TOML file, but bad.toml is not"),
        ("seed = 1\nseed = 1", "config must be a TOML file, but bad.toml is not"),
        ("sed = 1", "a setting must be one of .*, got 'sed'; did you mean seed"),
        (
            "[decoder]\nlatents = 2",
            "a setting of decoder must be .*'latents'; did you mean latent_d",
        ),
        ("[search.space]\nlr = [1e-3]", "a setting to tune must be one of learning_rate.*'lr'"),
        ('recipe = "quick"', "recipe must be one of fast, original, got 'quick'"),
        ('[fit]\nnum_epochs = "5"', "num_epochs must be a positive whole number, got '5'"),
        ("[fit]\nnum_epochs = [5]", "num_epochs must be a positive whole number, got .5"),
        ("[data]\nexamples_frac = true", "examples_frac must be a finite number, got True"),
        ("[data]\ndata_dir = 5", "data_dir must be a path in quotes, got 5"),
        ("[decoder]\narch = 500", "each value of arch must be layer widths like 500-500, got 500"),
        ("[augment]\nenabled = 5", "augment.enabled must be a list of words, got 5"),
        ("[log]\ntrackers = true", "log.trackers must be a list of words, got True"),
        ("[search.space]\nactivation = [[1]]", "each value of activation must be a word, got .1"),
        ("decoder = 5", "decoder must be a table of settings, got 5"),
        ("search = 5", "search must be a table of settings, got 5"),
        ("search.space = 5", "search.space must be a table of settings, got 5"),
        ("seed = 1979-05-27", "seed must be a whole number, got datetime"),
        ("seed = " + "9" * 5000, "config must be a TOML file, but bad.toml is not"),
    ],
)
def test_a_bad_file_of_settings_is_one_sentence(
    text: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(text)
    assert train("--config=bad.toml") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(words, err), err


@pytest.mark.parametrize("text", ["decoder = 5", "[decoder]\nactivation = 5", "seed = 1.5"])
def test_a_flag_does_not_hide_what_is_wrong_in_the_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(text)
    assert train("--config=bad.toml", "--arch=16") == 2


def test_an_output_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "study", tmp_path / "file", Path("/proc/study")):
        assert train(*QUICK, "--out", path) == 2
        assert "out must be a folder that can be written" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old").write_text("kept")
    assert train(*QUICK, "--out", tmp_path / "full") == 2
    assert "must be a new or empty folder" in capsys.readouterr().err
    assert (tmp_path / "full" / "old").read_text() == "kept"
    assert not (tmp_path / "full" / ".lock").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "config.json is damaged: it is no JSON"),
        ("[]", "config.json is damaged: it holds no JSON object"),
        ("{}", "config.json is not of a study"),
        ('{"schema": 2, "decoder": {}}', "is the folder of a model, not of a study"),
        ('{"schema": 1}', "written by an earlier version"),
        ('{"schema": 99, "versions": {"autodecoder": "9.9"}}', "newer version of .*9.9.*: update"),
        ('{"schema": 2}', "config.json is damaged"),
        ('{"schema": 2, "settings": 5}', "config.json is damaged"),
        ('{"schema": 2, "settings": {"seed": "x"}}', "config.json is damaged"),
    ],
)
def test_a_study_that_cannot_be_read_is_left_as_it_is(
    grid: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str,
    words: str,
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(grid[0], folder)
    (folder / "config.json").write_text(content)
    before = {path for path in folder.rglob("*") if path.is_file()}
    for arguments in (["train", *QUICK, "--out", folder], ["runs", folder]):
        assert call(*arguments) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert re.search(words, err), err
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    assert (folder / "config.json").read_text() == content


def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("trian") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "trian" in err
