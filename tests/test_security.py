"""What the package never does: run text as code, start a shell, unpickle a file.

The check reads the syntax tree of each module. It follows imports, their other names, and names
that are assigned to them. It knows what can run something, with the files that may use it.
"""

import ast
import builtins
import functools
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import pytest

import autodecoder

PACKAGE = Path(autodecoder.__file__).parent

#: Where an engine and the workers that it has started send messages through their pipes.
PIPES = {"study/engines/child.py", "study/engines/processes.py"}
#: Where the processes that share a fit send messages to each other, with a key.
LINKS = {"study/hosts.py"}
#: Where programs are started: by a list of words, never by a shell.
STARTERS = {"cli/launch.py", "study/engines/cluster.py", "study/engines/processes.py"}
#: Where this process becomes TensorBoard.
BECOMES = {"cli/runs.py"}
#: Where modules are imported by names, all of which are in the package.
BY_NAME = {"__init__.py", "cli/runs.py", "core/decoders/contract.py"}
#: Where a setting of the allocator is changed.
ALLOCATES = {"model/memory.py"}

NOWHERE: frozenset[str] = frozenset()

#: Modules that run code or programs, or read objects, and the files that may import them.
MODULES: Mapping[str, Set[str]] = {
    **dict.fromkeys(("pickle", "_pickle"), PIPES),
    **dict.fromkeys(("multiprocessing", "_multiprocessing"), LINKS),
    **dict.fromkeys(("subprocess", "_posixsubprocess"), STARTERS),
    "ctypes": ALLOCATES,
    **dict.fromkeys(("cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"), NOWHERE),
    **dict.fromkeys(("yaml", "torch", "h5py", "tables", "numpy.ctypeslib", "numpy.f2py"), NOWHERE),
    **dict.fromkeys(("code", "codeop", "imp", "pty", "runpy", "timeit", "zipimport"), NOWHERE),
    **dict.fromkeys(("asyncio", "builtins", "cffi", "logging.config", "posix", "nt"), NOWHERE),
    "concurrent.futures.process": NOWHERE,
    "concurrent.futures.ProcessPoolExecutor": NOWHERE,
}
#: Names that run code or programs, or read objects, by patterns, and the files that may use them.
#: `~` stands for Python's own names, `?` for a value that the check does not know.
NAMES: Mapping[str, Set[str]] = {
    r"~\.(eval|exec|compile|__import__|breakpoint|__builtins__)": NOWHERE,
    r"(os|\?)\.(system|popen|exec[lv]\w*|spawn\w*|posix_spawnp?|startfile|fork|forkpty)": BECOMES,
    r"types\.(CodeType|FunctionType)": NOWHERE,
    r"importlib\.(import_module|__import__|reload|machinery\..*)": BY_NAME,
    r"importlib\.util\.(spec|module)_from\w+": NOWHERE,
    r".*\.(create_subprocess_(exec|shell)|getoutput|getstatusoutput)": NOWHERE,
    r".*\.(read_pickle|to_pickle|read_hdf|extractall|extract|unpack_archive)": NOWHERE,
    r".*\.(__globals__|__builtins__|__code__|__reduce(_ex)?__|__setstate__)": NOWHERE,
    r"(pandas|\?)\.eval": NOWHERE,
    r"numpy\.lib\.format\.read_array": NOWHERE,
}


def parse(text: str) -> list[ast.AST]:
    """All nodes of the syntax tree of a module."""
    return list(ast.walk(ast.parse(text)))


@functools.cache
def sources() -> dict[str, list[ast.AST]]:
    """The nodes of each module, by its path."""
    return {
        path.relative_to(PACKAGE).as_posix(): parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


class Names:
    """What the names of a module stand for, as dotted names."""

    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        self._known: dict[str, str] = {}
        self.imported: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Import):
                for name in node.names:
                    self.imported.add(name.name)
                    short = name.name.partition(".")[0]
                    self._known[name.asname or short] = name.name if name.asname else short
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for name in node.names:
                    whole = f"{node.module}.{name.name}"
                    self.imported.add(whole)
                    self._known[name.asname or name.name] = whole
        defined = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        self._own = {node.name for node in defined}
        assigned = [n for n in nodes if isinstance(n, ast.Assign | ast.AnnAssign | ast.NamedExpr)]
        for _ in range(3):  # names of names
            for node in assigned:
                self._assign(node)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        found = None if node.value is None else self.of(node.value)
        if found is not None and "?" not in found:
            self._known |= {target.id: found for target in targets if isinstance(target, ast.Name)}

    def of(self, node: ast.AST) -> str | None:
        """What an expression stands for; `None` if it is no name."""
        if isinstance(node, ast.Name):
            if node.id in self._known:
                return self._known[node.id]
            is_builtin = hasattr(builtins, node.id) or node.id == "__builtins__"
            return f"~.{node.id}" if is_builtin and node.id not in self._own else None
        if isinstance(node, ast.Attribute):
            return f"{self.of(node.value) or '?'}.{node.attr}"
        if isinstance(node, ast.Call) and node.args:
            return self._called(node)
        if isinstance(node, ast.Subscript) and self.of(node.value) == "sys.modules":
            return _text(node.slice)
        return None

    def _called(self, node: ast.Call) -> str | None:
        function = self.of(node.func)
        if function == "~.getattr":
            return f"{self.of(node.args[0]) or '?'}.{_text(node.args[1]) or '?'}"
        if function in ("importlib.import_module", "sys.modules.get"):
            return _text(node.args[0])
        return None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def violations(nodes: Sequence[ast.AST], file: str) -> list[str]:
    """What a module uses and must not, with its line."""
    names = Names(nodes)
    used = {(name, 0) for name in names.imported}
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute | ast.Call) and (name := names.of(node)):
            used.add((name, node.lineno))
    found = {f"{line}: {name}" for name, line in used if _is_refused(name, file)}
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        called = names.of(node.func) or ""
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if called in ("numpy.load", "numpy.fromregex") and given.get("allow_pickle") != "False":
            found.add(f"{node.lineno}: {called} without allow_pickle=False")
        if called == "pickle.load" and not ast.unparse(node.args[0]).endswith(
            (".stdout", "stdin.buffer")
        ):
            found.add(f"{node.lineno}: pickle.load of something else than a pipe")
        if called.startswith("subprocess.") and ("shell" in given or None in given):
            found.add(f"{node.lineno}: {called} with shell")
    return sorted(found)


@functools.cache
def _is_refused(name: str, file: str) -> bool:
    of_modules = (a for m, a in MODULES.items() if name == m or name.startswith(f"{m}."))
    of_names = (a for pattern, a in NAMES.items() if re.fullmatch(pattern, name))
    return any(file not in allowed for allowed in (*of_modules, *of_names))


def test_nothing_runs_text_or_reads_objects() -> None:
    found = {file: violations(nodes, file) for file, nodes in sources().items()}
    assert len(found) > 100
    assert {file: wrong for file, wrong in found.items() if wrong} == {}


def test_each_exception_is_needed() -> None:
    """A file that does without it must not keep it."""
    for file in PIPES | LINKS | STARTERS | BECOMES | BY_NAME | ALLOCATES:
        assert violations(sources()[file], "another.py"), file


@pytest.mark.parametrize(
    "planted",
    [
        "eval('1')",
        "run = exec; run('1')",
        "compile('1', '', 'eval')",
        "__import__('os').system('ls')",
        "__builtins__['eval']('1')",
        "import builtins; builtins.eval('1')",
        "from builtins import eval as check",
        "from pickle import loads",
        "import pickle as p",
        "import importlib; importlib.import_module('pickle').loads(b'')",
        "import sys; sys.modules['pickle'].loads(b'')",
        "import sys; sys.modules.get('marshal').loads(b'')",
        "import pandas as pd; pd.read_pickle('a')",
        "from pandas import read_pickle as read",
        "frame.to_pickle('a')",
        "import numpy as np; np.load('a')",
        "import numpy as np; np.load('a', allow_pickle=True)",
        "from numpy import load; load('a')",
        "import numpy; read = numpy.load; read('a')",
        "import joblib",
        "def f():\n    from torch import load",
        "from subprocess import run",
        "import subprocess as s; s.run('ls')",
        "import runpy",
        "import os; os.system('ls')",
        "import os; getattr(os, 'system')('ls')",
        "import os; os.posix_spawn('ls', [], {})",
        "import os; start = os.execv; start('ls', [])",
        "from os import popen",
        "from multiprocessing import Process",
        "from concurrent.futures import ProcessPoolExecutor",
        "import asyncio; asyncio.create_subprocess_shell('ls')",
        "import ctypes",
        "import tarfile; tarfile.open('a').extractall()",
        "import zipfile; zipfile.ZipFile('a').extract('b')",
        "from shutil import unpack_archive",
        "import importlib.util as u; u.spec_from_file_location('a', 'b')",
        "import types; types.FunctionType(code, {})",
        "f.__globals__['os']",
        "import logging.config",
    ],
)
def test_planted_violations_are_found(planted: str) -> None:
    assert violations(parse(planted), "planted.py")


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("study/engines/child.py", "import pickle; pickle.load(file)"),
        ("study/engines/child.py", "from pickle import load; load(file)"),
        ("cli/launch.py", "import subprocess; subprocess.run('ls', shell=True)"),
        ("cli/launch.py", "from subprocess import Popen; Popen('ls', **given)"),
    ],
)
def test_exceptions_allow_no_more_than_is_needed(file: str, planted: str) -> None:
    assert violations(parse(planted), file)


def test_what_is_harmless_is_not_found() -> None:
    harmless = """
import json, os, re, sys, zipfile
from concurrent.futures import ThreadPoolExecutor
import numpy as np
re.compile("a"), json.loads("1"), os.environ.get("a"), os.path.exists("a"), np.zeros(3)
np.load("a", allow_pickle=False), zipfile.ZipFile("a").open("b"), sys.modules.get("pandas")
def compile(): pass
compile()
getattr(self, "name"), worker.run(), archive.extractfile(member)
"""
    assert violations(parse(harmless), "harmless.py") == []


@pytest.mark.parametrize("scheme", ["http://", "ftp://"])
def test_nothing_is_fetched_without_encryption(scheme: str) -> None:
    """But from this machine itself, and the names of formats that look like addresses."""
    allowed = (f"{scheme}127.0.0.1", f"{scheme}localhost", f"{scheme}www.w3.org/", f"{scheme}{{")
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            _, found, rest = line.partition(scheme)
            assert not found or f"{scheme}{rest}".startswith(allowed), (path.name, line)
