"""Progress of a fit in one line, for a terminal or a notebook."""

import sys


def print_progress(epoch: int, num_epochs: int, metrics: dict[str, float]) -> None:
    """Write epoch and loss to the error stream, over the line before."""
    end = "\n" if epoch == num_epochs else ""
    sys.stderr.write(f"\repoch {epoch} of {num_epochs}, loss {metrics['loss']:.4f}{end}")
    sys.stderr.flush()
