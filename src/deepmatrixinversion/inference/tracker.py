"""Inverses of matrices that come one time step after the other."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import real_form
from deepmatrixinversion.inference.functions import Model, inv_ex
from deepmatrixinversion.linalg.algebra import Algebra
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.greedy import EARLY_EXIT, EPS, Array
from deepmatrixinversion.linalg.scaling import normalise, times_power
from deepmatrixinversion.prior.store import combine

BREAK = 0.7
"""Share of sqrt(n), the residual of nothing at all, from which on a start is given up."""


TRIED, AGAIN = 8, 8
"""Both kinds of start are compared in the first steps, and then at every eighth."""

MEMORY = 8
"""Comparisons over which the gain is averaged."""


class Start(NamedTuple):
    """Proposed inverses of (k, n, n) matrices.

    Attributes
    ----------
    X : (k, n, n)
        NaN where a sequence has broken
    residual : (k,)
        sketched residuals, ‖v R‖ with v a row of signs: estimates of ‖R‖F
    combined : (k,) bool
        whether X is a combination of all that is kept, or the previous inverse alone
    cost : (k,)
        matrix products that it took
    """

    X: Array
    residual: Array
    combined: NDArray[np.bool_]
    cost: Array


class Tracker:
    """Inverts what changes from step to step, beginning each time near the answer.

    Keeps the last few inverses of each matrix of a stack. The next one starts from their
    least-squares combination on a sketch, or from the previous inverse: both are measured now and
    then, on a row that neither was fitted to, and the one that came out cheaper is taken. A matrix
    that this leaves far from its inverse has broken with its past: it is inverted as `inv_ex`
    would, and its past is forgotten. Every result is certified or said not to be, as by `inv_ex`,
    and depends on the sequence alone: the same matrices give the same bits.

    Parameters
    ----------
    model : Inverter or str, optional
        What inverts where nothing is known: as for `inv_ex`.
    kept : int
        Inverses that are kept of each matrix.
    rtol : float, optional
        As for `inv_ex`.

    Raises
    ------
    ValueError
        For ``kept`` below 1.

    Notes
    -----
    It saves matrix products: what counts where products are the currency, and time for orders from
    128 on. Below, the compiled kernel inverts from nothing faster than NumPy does from a start.
    Cost of a start: 2/n products, with combinations 2 kept/n, and 3/n more where both are measured.

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion import Tracker
    >>> tracker = Tracker()
    >>> for t in np.linspace(0, 1, 5):
    ...     X, certificate, steps = tracker(np.eye(16) + t * np.ones((16, 16)))
    >>> bool(certificate.certified)
    True
    """

    def __init__(
        self, model: Model | None = None, *, kept: int = 4, rtol: float | None = None
    ) -> None:
        if kept < 1:
            raise ValueError(f"kept is {kept}; at least one inverse must be")
        self.model = model
        self.kept = kept
        self.rtol = rtol
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self._inverses: list[Array] = []
        self._gain: Array = np.zeros(1)
        self._steps = 0

    def __call__(self, A: ArrayLike) -> Inversion:
        """Inverses of the next matrices (..., n, n), of the same shape as those before.

        Another shape begins a new sequence. Errors are those of ``inv_ex``; complex matrices are
        refused.
        """
        form = real_form(A)
        if form.is_complex:
            raise ValueError("A is complex: a Tracker takes real matrices")
        n = form.array.shape[-1]
        S, exponent = normalise(form.array.reshape(-1, n, n))
        start = self.propose(S)
        begin = None
        if start is not None:
            X = times_power(start.X, -exponent[:, None, None])
            begin = X.reshape(form.array.shape)
        found = inv_ex(form.array, model=self.model, rtol=self.rtol, start=begin)
        X = found.inverse.reshape(-1, n, n).astype(np.float64)
        sound = found.certificate.certified.reshape(-1)
        self.remember(times_power(X, exponent[:, None, None]), sound, start)
        return found

    def propose(self, S: Array) -> Start | None:
        """Starts for (k, n, n) matrices of norm near one; None where nothing is known of any."""
        if not self._inverses or self._inverses[0].shape != S.shape:
            self.reset()
            return None
        k, n = S.shape[:2]
        v, w = np.random.default_rng(n).choice([-1.0, 1.0], (2, 1, n))
        Y, kept = v @ S, self._inverses
        cost = np.full(k, 2.0 / n)
        X, left = combine(_algebra(n), v, [Y @ kept[0]], kept[:1])
        combined = np.zeros(k, dtype=bool)
        compared = len(kept) > 1 and (self._steps < TRIED or self._steps % AGAIN == 0)
        if compared or (len(kept) > 1 and (self._gain > 0).any()):
            Z, less = combine(_algebra(n), v, [Y @ E for E in kept], kept)
            if compared:
                # A row that neither was fitted to.
                both = [_seen(w - (w @ S) @ M) for M in (X, Z)]
                gain = promised(both[0]) - promised(both[1]) - 2 * (len(kept) - 1) / n
                self._gain += (gain - self._gain) / min(self._steps, MEMORY)
            combined = self._gain > 0
            X[combined], left[combined] = Z[combined], less[combined]
            cost += np.where(combined | compared, 2 * (len(kept) - 1) / n, 0) + 3 * compared / n
        broken = ~(left <= BREAK * math.sqrt(n))
        if broken.all():
            self.reset()
            return None
        X[broken] = np.nan
        return Start(X, left, combined, cost)

    def remember(self, X: Array, sound: NDArray[np.bool_], start: Start | None) -> None:
        """Keep the newest inverses; where one is not sound, the last one that was."""
        if not self._inverses:
            # What nothing sound is known of begins as zero, of which no start is made.
            self._inverses = [np.where(sound[:, None, None], X, 0.0)]
            self._gain, self._steps = np.zeros(len(X)), 1
            return
        self._steps += 1
        newest = np.where(sound[:, None, None], X, self._inverses[0])
        self._inverses = [newest, *self._inverses][: self.kept]
        if start is not None:
            broken = ~np.isfinite(start.X).all(axis=(1, 2)) & sound
            for past in self._inverses[1:]:
                past[broken] = X[broken]
            self._gain[broken] = 0.0


def _algebra(n: int) -> Algebra:
    return Algebra(n, EPS, np.eye(n), np.where)


def _seen(row: Array) -> Array:
    """The norm of each sketched residual (k, 1, n)."""
    return np.sqrt((row * row).sum(axis=(1, 2)))


def promised(residual: Array) -> Array:
    """About how many products take a residual to 1e-3, by powers of it."""
    return np.log(EARLY_EXIT) / np.log(np.clip(residual, 1e-12, 0.9))
