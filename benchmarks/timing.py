"""Times on a machine that does other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np


def smallest_times(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The smallest time of each function, in seconds, taken in turns; the first call is free."""
    times = [np.inf] * len(functions)
    for function in functions:
        function()
    for _ in range(rounds):
        for k, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[k] = min(times[k], time.perf_counter() - start)
    return times
