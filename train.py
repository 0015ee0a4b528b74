#!/usr/bin/env python3
"""The same as `autodecoder train`, from a checkout."""

import os
import sys
from pathlib import Path

try:
    from autodecoder.cli import main
except ModuleNotFoundError as error:
    # Started by a Python without the package: hand over to the environment that make sets up.
    python = Path(__file__).resolve().parent / ".venv" / "bin" / "python"
    if Path(sys.prefix) != python.parent.parent and python.exists():
        os.execv(python, [str(python), *sys.argv])
    print(f"error: {error}; run `make install` or `pip install -e .` first.", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
