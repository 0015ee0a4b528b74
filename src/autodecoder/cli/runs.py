"""`autodecoder runs` and `autodecoder tensorboard`: inspect studies."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from autodecoder.cli.flags import Json, path_flag
from autodecoder.errors import AutodecoderError, ConfigError, DataError

runs_app: App = App(name="runs")


@runs_app.default
def runs(
    path: Annotated[Path, path_flag(help="Folder of a study, or of several studies.")] = Path(
        "runs"
    ),
    /,
    *,
    json_: Json = False,
) -> bool:
    """Show the best trials of a study, or one line per study in a folder.

    Example: autodecoder runs runs/demo
    """
    from autodecoder.cli.console import print_json
    from autodecoder.cli.content import study_content, trial_content
    from autodecoder.cli.tables import print_studies, print_study
    from autodecoder.study import load_study

    if not path.is_dir():
        raise ConfigError(f"runs needs an existing folder, got {path}.")
    if (path / "config.json").exists():
        study = load_study(path)
        if json_:
            print_json([trial_content(study, trial) for trial in study.trials])
        else:
            print_study(study)
        return False
    studies, unreadable = [], []
    for config in sorted(path.glob("*/config.json")):
        try:
            studies.append(load_study(config.parent))
        except AutodecoderError as error:
            unreadable.append((config.parent, str(error)))
    if not studies and not unreadable:
        raise DataError(f"{path} holds no study.")
    if json_:
        content = [study_content(study) for study in studies]
        print_json([*content, *({"folder": str(p), "error": why} for p, why in unreadable)])
    else:
        print_studies(studies, unreadable)
    return False


@runs_app.command
def compare(
    *studies: Annotated[Path, path_flag(help="Folders of two studies or more.")],
    out: Annotated[Path, path_flag(help="The page; an existing file is replaced.")] = Path(
        "comparison.html"
    ),
    json_: Json = False,
) -> bool:
    """Compare studies: their best trials and the settings that differ, as a table and as a page.

    The page also overlays their curves, and links their maps: an image under the pointer is
    highlighted on all maps.

    Example: autodecoder runs compare runs/demo runs/other
    """
    from autodecoder.cli.console import console, print_json
    from autodecoder.cli.content import study_content
    from autodecoder.cli.tables import print_comparison
    from autodecoder.config import differences, to_dict
    from autodecoder.report import write_comparison
    from autodecoder.study import load_study

    if len(studies) < 2:
        raise ConfigError(f"runs compare needs two studies or more, got {len(studies)}.")
    loaded = [load_study(folder) for folder in studies]
    page = write_comparison(loaded, out)
    if json_:
        changed = differences(*(to_dict(study.config) for study in loaded))
        content = [study_content(study) for study in loaded]
        print_json({"studies": content, "settings": changed, "out": str(page)})
    else:
        print_comparison(loaded)
        console.print(f"{page}: {page.stat().st_size / 1e6:.1f} MB", highlight=False)
    return False


def tensorboard(
    path: Annotated[Path, path_flag(help="Folder of a study, or of several studies.")] = Path(
        "runs"
    ),
    /,
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.")] = 6006,
) -> bool:
    """Start TensorBoard on studies: scalars, histograms, pictures, and trials under HParams.

    Needs the extra: pip install 'autodecoder[tensorboard]'

    Example: autodecoder tensorboard runs/demo
    """
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "TensorBoard is not installed; pip install 'autodecoder[tensorboard]' installs it."
        )
    if not path.is_dir():
        raise ConfigError(f"tensorboard needs an existing folder, got {path}.")
    if not 0 <= port < 2**16:
        raise ConfigError(f"port must lie between 0 and 65535, got {port}.")
    try:
        import_module("tensorboard.main")
    except Exception as error:  # of any kind: some releases conflict with other packages
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"the installed TensorBoard does not start ({reason}); pip install --upgrade "
            "'autodecoder[tensorboard]' installs one that does."
        ) from error
    # For a single study, runs are then named by their values alone.
    own = path / "tensorboard"
    shown = own if (path / "config.json").is_file() and own.is_dir() else path
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={shown}"]
    # TensorBoard replaces this process, so it receives the signals that end it.
    os.execv(sys.executable, [*command, f"--host={host}", f"--port={port}"])
