"""All readers of files and requests from elsewhere, as targets of the fuzzers."""

from collections.abc import Callable

from tests.fuzz import data_targets, model_targets
from tests.fuzz.target import Target

#: Functions that make the targets, by the names of these.
TARGETS: dict[str, Callable[[], Target]] = {**data_targets.BUILDERS, **model_targets.BUILDERS}
