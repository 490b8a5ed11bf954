"""Inverses and pseudo-inverses of any order as unrolled iterations: the texts of ``linalg``."""

from __future__ import annotations

import math

import numpy as np

from deepmatrixinversion.export import algebra
from deepmatrixinversion.export.algebra import Value, constant, floor_power, size, where
from deepmatrixinversion.export.loop import loop
from deepmatrixinversion.linalg import purification
from deepmatrixinversion.linalg.algebra import Algebra, Candidate, candidate
from deepmatrixinversion.linalg.minimal_residual import minimal_residual, step


def blocks_for(order: int, dtype: np.dtype) -> int:
    """Blocks that reach rounding level for most matrices of this order: 5 + log2 n, 2 in float64.

    Three more than entries of no structure need (``linalg.minimal_residual.blocks_for``), since
    the covariances and kernels of users' models spread their spectra over several decades.
    """
    return 5 + math.ceil(math.log2(max(order, 1))) + 2 * (dtype == np.float64)


def inverse(A: Value, order: int, blocks: int, loop_name: str = "") -> Value:
    """Approximate inverses by ``blocks`` minimal residual steps: 1 + 5 ``blocks`` products.

    Rows and columns are equilibrated by powers of two first. Where A is singular the result is
    finite, with a residual ‖I - A X‖F of about 1 or more. With a ``loop_name`` the steps are a
    loop, see `_loop`.
    """
    a = algebra.algebra(order, A.dtype)
    S, undone = algebra.equilibrated(A)
    norm = a.space.norm(S)  # finite at S = 0
    S = S / norm
    if loop_name:
        X = _loop(a, S, candidate(a, S, S.mT), blocks, loop_name)
    else:
        X = minimal_residual(a, S, S.mT, blocks)
    return undone(X / norm)


def _loop(a: Algebra, S: Value, start: Candidate, blocks: int, name: str) -> Value:
    """Minimal residual steps until no matrix of the stack gains by another, or ``blocks``.

    A matrix whose residual a step did not shrink stays as it is in all further steps, which are the
    same step; nor is there anything left to gain at n eps, or where a residual below 0.1, whose
    fourth power the next would be, has not even been halved: that is rounding.
    """

    def body(_: Value, *state: Value) -> tuple[Value, list[Value]]:
        old = Candidate(*state)
        new = step(a, S, old)
        shrunk, worth = new.norm < old.norm, new.norm > a.order * a.eps
        slow, halved = new.norm > 0.1, new.norm < 0.5 * old.norm
        open_ = shrunk & worth & (slow | halved)
        # ReduceMax of booleans is newer than the opsets served here.
        count = where(open_, constant(1, S.dtype), 0).sum(tuple(range(open_.rank)), False)
        return count > 0, list(new)

    return loop(body, list(start), blocks, name)[0]


def pseudo_inverse(A: Value, order: int, rtol: float) -> Value:
    """Moore-Penrose inverses of matrices no taller than wide, ``order`` their number of rows."""
    c = floor_power(size(A, (-2, -1)))
    return purification.pseudo_inverse(algebra.algebra(order, A.dtype), A / c, rtol) / c
