"""Inverses of matrices that come one time step after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import real_form
from deepmatrixinversion.inference.functions import Model, inv_ex
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.greedy import Array
from deepmatrixinversion.linalg.scaling import normalise, times_power
from deepmatrixinversion.prior.sequence import COMBINED, Sequence, Start

AGAIN = 64
"""All kinds of start are compared at step 1, 2, 4, ..., and then at every 64th."""


class Tracker:
    """Inverts what changes from step to step, beginning each time near the answer.

    Keeps the last few inverses of each matrix of a stack. The next one starts from the last one as
    it is, from that one corrected for a change of low rank, or from a least-squares combination of
    several on a sketch: all of these are measured now and then, on rows that none was fitted to,
    and the one that came out cheapest is taken. A matrix that this leaves far from its inverse has
    broken with its past: it is inverted as `inv_ex` would, and its past is forgotten. Every result
    is certified or said not to be, as by `inv_ex`, and depends on the sequence alone: the same
    matrices give the same bits.

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
    Cost of a start, in products: 4/n from the last inverse, (5 + 2 m)/n + (m/n)² from m of them,
    (5 + 5 r)/n + 5 (r/n)² after a change of rank r up to 4; 3 at n = 16 where all are compared,
    which is at step 1, 2, 4, ..., 64 and then at every 64th.

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
        self, model: Model | None = None, *, kept: int = COMBINED[-1], rtol: float | None = None
    ) -> None:
        if kept < 1:
            raise ValueError(f"kept is {kept}; at least one inverse must be")
        self.model = model
        self.kept = kept
        self.rtol = rtol
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self._past: Sequence | None = None
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
        self.remember(S, times_power(X, exponent[:, None, None]), sound, start)
        return found

    def propose(self, S: Array) -> Start | None:
        """Starts for (k, n, n) matrices of norm near one; None where nothing is known of any."""
        if self._past is None or self._past.S.shape != S.shape:
            self.reset()
            return None
        step = self._steps
        start = self._past.start(S, step % AGAIN == 0 or step & (step - 1) == 0)
        if start.broken().all():
            self.reset()
            return None
        return start

    def remember(self, S: Array, X: Array, sound: NDArray[np.bool_], start: Start | None) -> None:
        """Keep the newest inverses; where one is not sound, the last one that was."""
        self._steps += 1
        if self._past is None:
            self._past = Sequence.beginning(S, X, sound, self.kept)
            return
        broken = np.zeros(len(X), dtype=bool) if start is None else start.broken()
        self._past.go_on(S, X, sound, broken)
