"""Inverses and pseudo-inverses of any order as unrolled iterations: the texts of ``linalg``."""

from __future__ import annotations

import math

import numpy as np

from deepmatrixinversion.export import algebra
from deepmatrixinversion.export.algebra import Value, cast, constant, floor_power, size, where
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

    def body(*state: Value) -> tuple[Value, list[Value]]:
        old = Candidate(*state)
        new = step(a, S, old)
        shrunk, worth = new.norm < old.norm, new.norm > a.order * a.eps
        slow, halved = new.norm > 0.1, new.norm < 0.5 * old.norm
        open_ = shrunk & worth & (slow | halved)
        # ReduceMax of booleans is newer than the opsets served here.
        count = cast(open_, np.float32).sum(tuple(range(open_.rank)), False)
        return count > 0, list(new)

    return loop(body, list(start), blocks, name)[0]


def smallest_rtol(dtype: np.dtype) -> float:
    """The smallest ``rtol`` that rounding allows `pseudo_inverse`: 8 √(2 eps).

    √2 more than in ``linalg.purification``, since it is relative to a bound on ‖A‖2 that is
    kept √2 off.
    """
    return math.sqrt(2) * purification.smallest_rtol(float(np.finfo(dtype).eps))


def pseudo_inverse(A: Value, order: int, rtol: float) -> Value:
    """Moore-Penrose inverses of matrices no taller than wide, ``order`` their number of rows.

    Singular values below ``rtol`` times (an upper bound within n^(1/16) of) the largest count as
    zero; from 0.2 to 1 times that, an answer is partly one and partly the other.
    """
    a = algebra.algebra(order, A.dtype)
    c = floor_power(size(A, (-2, -1)))
    S = A / c
    # Singular values that lie near 1 as well as near rtol are the hardest: √2 keeps off from 1.
    sigma = (2 * _largest_eigenvalue(a, S @ S.mT)) ** 0.5
    S = S / sigma
    X = purification.pseudo_inverse(S, S.mT, a.one, rtol / math.sqrt(2), a.eps)
    return X / sigma / c


def _largest_eigenvalue(a: Algebra, G: Value) -> Value:
    """Of positive semidefinite G, from above: ‖G‖2 <= ‖G^8‖F^(1/8) <= n^(1/16) ‖G‖2; 1 for 0."""
    root, exponent = constant(1, G.dtype), 1.0
    for _ in range(4):
        norm = a.space.inner(G, G) ** 0.5
        norm = where(norm > 0, norm, 1)
        root = root * norm**exponent
        G = G / norm
        G = G @ G
        exponent /= 2
    return root
