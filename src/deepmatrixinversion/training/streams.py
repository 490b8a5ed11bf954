"""Which random numbers are for what: seeds of streams that never meet (no torch here)."""

from __future__ import annotations

import numpy as np

# What a stream of random numbers is for. Streams of different purposes never meet, whatever the
# seed, so that no model is judged on matrices it was trained on.
INITIAL_WEIGHTS, TRAINING, SELECTION, EVALUATION, PLANNING = range(5)


def stream_seed(purpose: int, seed: int, *position: int) -> int:
    """A 63-bit seed that is a hash of the purpose, the run's seed and a position."""
    words = np.random.SeedSequence([purpose, seed, *position]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
