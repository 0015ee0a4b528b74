"""Reports learning curves to the storage of a study while its trials run."""

import logging
import time

from autodecoder.errors import StorageError
from autodecoder.study.curves import Curves
from autodecoder.study.ledger import Ledger

_log = logging.getLogger(__name__)

#: Shortest interval between two reports, in seconds and as a multiple of the duration of the last
#: report. Reports therefore take at most a fiftieth of the time.
_SECONDS, _PAUSE = 2.0, 50.0


class Reporter(Curves):
    """The curves of the trials of this process, and the schedule of their reports.

    Parameters
    ----------
    metric : str
        A metric that is recorded after every epoch.
    """

    def __init__(self, metric: str) -> None:
        super().__init__(metric)
        self._next = time.monotonic() + _SECONDS
        self._is_out = False
        """Whether the last report failed."""

    def report(self, ledger: Ledger, trial_id: str | None = None) -> None:
        """Report new values, of all trials or of one.

        Raises
        ------
        StorageError
            If the storage cannot be used.
        """
        news = self.news(trial_id)
        if news:
            ledger.report(news)
            self.note_reported(news)

    def report_in_time(self, ledger: Ledger, *, now: bool = False) -> None:
        """Report new values if the interval has passed, or `now`.

        If the storage does not answer, the study continues, and the next report catches up.
        """
        start = time.monotonic()
        if start < self._next and not now:
            return
        try:
            self.report(ledger)
        except StorageError as error:
            if not self._is_out:
                _log.warning("learning curves are reported later: %s", str(error).rstrip("."))
            self._is_out = True
        else:
            self._is_out = False
        end = time.monotonic()
        self._next = end + max(_SECONDS, _PAUSE * (end - start))
