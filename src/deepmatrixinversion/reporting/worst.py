"""The matrix whose answer is furthest off, of many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Example(NamedTuple):
    """One matrix with its answer, and the true answer where it is known."""

    number: int
    A: np.ndarray
    X: np.ndarray
    truth: np.ndarray | None


class Worst:
    """Of matrices that come block by block, the one whose answer is furthest off."""

    def __init__(self) -> None:
        self.example: Example | None = None
        self._worst = -1.0

    def add(
        self, first: int, A: np.ndarray, X: np.ndarray, truth: np.ndarray | None, off: np.ndarray
    ) -> None:
        """Add matrices ``first`` and following; NaN in ``off`` (count,) leaves one out."""
        off = np.where(np.isnan(off), -1.0, off)
        i = int(np.argmax(off)) if off.size else 0
        if off.size and off[i] > self._worst:
            self._worst = float(off[i])
            T = None if truth is None else truth[i].copy()
            self.example = Example(first + i, A[i].copy(), X[i].copy(), T)
