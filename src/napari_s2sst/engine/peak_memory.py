"""How much memory a piece of work took at its peak, as the operating system counts it.

That is the memory of the whole process, the interpreter and its libraries included: Python's own counting (tracemalloc)
sees nothing of what torch allocates. On Linux the peak is set back before the work; elsewhere it is the peak since
the process began, an upper bound.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """``with PeakMemory() as peak: ...``, then ``peak.mb`` and ``peak.extra_mb`` in MB (1e6 bytes).

    ``extra_mb`` is the peak above what the process held before: less than the work's own need where it could reuse memory
    that earlier work had given back to Python but not to the system. NaN where the system does not tell.
    """

    mb = extra_mb = math.nan

    def __enter__(self) -> PeakMemory:
        try:
            _CLEAR.write_text("5")  # proc(5): resets the peak to the memory held now
            self._before = _held_mb("VmRSS")
        except OSError:
            self._before = math.nan
        return self

    def __exit__(self, *_: object) -> None:
        if math.isnan(self._before):
            self.mb = _since_start_mb()
        else:
            self.mb = _held_mb("VmHWM")
            self.extra_mb = max(0.0, self.mb - self._before)


def _held_mb(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _since_start_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
