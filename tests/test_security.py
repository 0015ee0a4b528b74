"""What the package never does: run text as code, start a shell, unpickle a file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import autodecoder

PACKAGE = Path(autodecoder.__file__).parent

#: Calls that run what they are given, or what is in a file.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "os.execvp", "os.spawnv"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "subprocess.check_output"),
    *("marshal.load", "marshal.loads", "dill.load", "cloudpickle.load", "joblib.load"),
    *("pickle.loads", "shelve.open", "yaml.load", "torch.load", "pandas.read_pickle"),
    *("tarfile.extractall", "zipfile.extractall", "shutil.unpack_archive"),
}
#: Where an engine and the workers that it has started send messages through their pipes.
PIPES = {"study/engines/child.py", "study/engines/processes.py"}
#: Where programs are started: by a list of words, never by a shell.
STARTERS = {"cli/launch.py", "study/engines/cluster.py", "study/engines/processes.py"}
#: Where this process becomes TensorBoard.
BECOMES = {"cli/runs.py"}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File, name and node of each call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func), node


def test_the_walk_sees_calls() -> None:
    seen = {(file, name) for file, name, _ in calls()}
    assert ("study/engines/child.py", "pickle.load") in seen
    assert len(seen) > 5000


def test_nothing_runs_text_or_files() -> None:
    assert [(file, name) for file, name, _ in calls() if name in FORBIDDEN] == []
    extracts = [
        (file, name) for file, name, _ in calls() if name.endswith((".extractall", ".extract"))
    ]
    assert extracts == []


def test_only_pipes_are_unpickled() -> None:
    found = {file for file, name, _ in calls() if name.split(".")[0] == "pickle"}
    assert found == PIPES
    for file, name, node in calls():
        if name == "pickle.load":
            source = ast.unparse(node.args[0])
            assert source.endswith((".stdout", "stdin.buffer")), (file, source)


def test_arrays_are_read_without_objects() -> None:
    readers = [(file, node) for file, name, node in calls() if name in ("np.load", "numpy.load")]
    assert readers
    for file, node in readers:
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert given.get("allow_pickle") == "False", file


def test_programs_are_started_without_a_shell() -> None:
    found = {file for file, name, _ in calls() if name.startswith("subprocess.")}
    assert found <= STARTERS
    assert {file for file, name, _ in calls() if name == "os.execv"} == BECOMES
    for file, name, node in calls():
        if name.startswith("subprocess."):
            assert not [word for word in node.keywords if word.arg == "shell"], file


@pytest.mark.parametrize("scheme", ["http://", "ftp://"])
def test_nothing_is_fetched_without_encryption(scheme: str) -> None:
    """But from this machine itself, and the names of formats that look like addresses."""
    allowed = (f"{scheme}127.0.0.1", f"{scheme}localhost", f"{scheme}www.w3.org/", f"{scheme}{{")
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            _, found, rest = line.partition(scheme)
            assert not found or f"{scheme}{rest}".startswith(allowed), (path.name, line)
