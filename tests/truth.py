"""What tests of inverses hold answers against: condition numbers and exact arithmetic."""

from __future__ import annotations

import numpy as np

import oracle
from deepmatrixinversion.inference.arrays import embed

EPS = 2.0**-52
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def norm(A):
    """Infinity norms of a stack, without overflow where they are representable."""
    return np.abs(A).sum(axis=-1).max(axis=-1, initial=0.0)


def kappa(A, X):
    """Condition number in the infinity norm, of any scale."""
    e = int(np.frexp(np.abs(A).max())[1])
    return norm(np.ldexp(A, -e)) * norm(np.ldexp(X, e))


def residuals(A, X):
    """‖I - A X‖F of each pair, in double precision."""
    A, X = (np.asarray(M) for M in (A, X))
    A, X = (M.astype(np.result_type(M, np.float64), copy=False) for M in (A, X))
    return np.linalg.norm(np.eye(A.shape[-1]) - A @ X, axis=(-2, -1))


def violated(A, result):
    """The first violation of bounds against exact arithmetic, None where all hold.

    Complex matrices through their embedding, whose row sums |re| + |im| are at least those of |z|.
    """
    n = A.shape[-1]
    A, X = A.reshape(-1, n, n), result.inverse.reshape(-1, n, n)
    if A.dtype.kind == "c":
        A, X = embed(A), embed(X)
    columns = [np.ravel(c) for c in result.certificate]
    for a, x, ok, *bounds in zip(A, X, *columns, strict=True):
        if found := oracle.violation(a, x, bool(ok), *map(float, bounds)):
            return found
    return None


def sample(dtype, shape, rng):
    """Normal numbers of any dtype, complex ones with both parts."""
    A = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal(shape)
    return A.astype(dtype)


def one_sentence(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert 10 < len(message) < 250
