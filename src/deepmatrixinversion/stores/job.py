"""A stack on disk inverted part by part, each part by whichever process comes to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion import kernel
from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.engine import Inversion

PART_BYTES = 16 * 2**20
"""About as much is inverted at once; an inversion takes some ten times as much memory."""

NAMED = 5
"""Uncertified matrices that a message names."""


class Source(Protocol):
    """Matrices that any process can read: picklable, ``granule`` of them stored together."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def granule(self) -> int: ...

    def read(self, start: int, stop: int) -> NDArray: ...


class Sink(Protocol):
    """Where inverses and their certificates go, from any process."""

    def kept(self, number: int, start: int, A: NDArray) -> Inversion | None:
        """What an earlier run has made of these matrices, if it is there and unharmed."""
        ...

    def write(self, number: int, start: int, A: NDArray, result: Inversion) -> None: ...


class Done(NamedTuple):
    """What has become of one part of a stack.

    Attributes
    ----------
    matrices, certified, not_finite : int
        How many; the last have NaN or infinity and so no inverse.
    largest : float
        The largest relative error bound of those certified.
    named : list
        (index, residual bound) of the first uncertified ones.
    seconds : float
        Spent on inverting.
    kept : bool
        Whether an earlier run had done it.
    """

    matrices: int
    certified: int
    not_finite: int
    largest: float
    named: list[tuple[int, float]]
    seconds: float
    kept: bool


class Job(NamedTuple):
    """Which matrices, how, and whither: all that a process needs to know."""

    source: Source
    sink: Sink
    invert: Callable[[NDArray], Inversion]
    step: int

    def parts(self) -> int:
        """How many there are."""
        return math.ceil(self.source.shape[0] / self.step)

    def do(self, number: int) -> Done:
        """Invert one part, unless that has been done, on one thread of the kernel."""
        start = number * self.step
        A = self.source.read(start, min(start + self.step, self.source.shape[0]))
        begun = time.perf_counter()
        kept = self.sink.kept(number, start, A)
        if kept is not None:
            return _done(A, kept.certificate, start, 0.0, True)
        with kernel.threads(1):
            result = self.invert(A)
        seconds = time.perf_counter() - begun
        self.sink.write(number, start, A, result)
        return _done(A, result.certificate, start, seconds, False)


def step_of(source: Source) -> int:
    """Matrices in a part: a multiple of what is stored together, so that no two share a chunk."""
    _, rows, cols = source.shape
    granules = PART_BYTES // (8 * rows * cols * source.granule)
    return source.granule * max(1, granules)


def _done(A: NDArray, certificate: Certificate, start: int, seconds: float, kept: bool) -> Done:
    ok = certificate.certified
    not_finite = 0
    named: list[tuple[int, float]] = []
    if not ok.all():
        not_finite = len(A) - int(np.isfinite(A).all(axis=(1, 2)).sum())
        where = np.flatnonzero(~ok)[:NAMED]
        named = [(start + int(i), float(certificate.residual_bound[i])) for i in where]
    largest = float(certificate.relative_error_bound[ok].max(initial=0.0))
    return Done(len(A), int(ok.sum()), not_finite, largest, named, seconds, kept)
