"""Eigenvalues and eigenvectors of symmetric matrices, by two-sided Jacobi of a fixed length."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, concatenate, constant, where
from deepmatrixinversion.export.flat import LARGEST, Product, flat
from deepmatrixinversion.export.reflections import triangular
from deepmatrixinversion.export.rotations import Rotations, sweeps
from deepmatrixinversion.export.scale import nan_unless_finite, roundoff, scaled
from deepmatrixinversion.export.sorting import ordered

PREPARED = 5
"""From this order on two steps of the QR algorithm come first. They order graded spectra, for which
Jacobi alone takes 12 sweeps at order 16 in float64, and 7 after them."""

CONVERGED = 16
"""How many times n eps, relative to the matrix, entries off the diagonal may have in the end; they
have 0.3 to 1 of one n eps. Where they have more the answer is NaN rather than wrong."""


def symmetric(A: Value, n: int, *, upper: bool) -> Value:
    """The symmetric matrix of which A's lower or upper triangle is one half."""
    mask = constant(np.tri(n).T if upper else np.tri(n), np.dtype(bool))
    return where(mask, A, A.mT)


def eigen(A: Value, n: int) -> tuple[Value, Value]:
    """Eigenvalues (..., n) of symmetric A, ascending, and eigenvectors (..., n, n) in columns.

    As accurate as LAPACK's: relative to the largest eigenvalue. NaN where A is not finite.

    Notes
    -----
    `sweeps` sweeps of n - 1 rounds, 20 operators each, of which 3 are products of order n and as
    many are as costly; 34 n operators of preparation.
    """
    given = scaled(A, n, n)
    S = B = given.S
    V = S * 0 + np.eye(n)
    if n >= PREPARED:
        for _ in range(2):
            V = _step_of_qr(B, V, n)
            B = V.mT @ (S @ V)
    B, V = _diagonalised(B, V, n)
    rest = B * (1 - np.eye(n))
    error = (rest * rest).sum((-2, -1), True) ** 0.5
    size = (S * S).sum((-2, -1), True) ** 0.5
    bound = size * (CONVERGED * n * roundoff(size * 0))
    spoiled = nan_unless_finite(A) + where(error > bound, constant(np.nan, A.dtype), 0)
    # Rounding errors of all rotations add up in V; a step towards the nearest orthogonal matrix
    # takes them back, and Rayleigh quotients of its columns are eigenvalues to their square.
    V = V @ (1.5 * np.eye(n) - 0.5 * (V.mT @ V))
    values = (V * (S @ V)).sum((-2,), False) + spoiled.reshape(2, 1)
    values, P = ordered(values, n, descending=False)
    return given.undone(values, 1), V @ P + spoiled


def _step_of_qr(B: Value, V: Value, n: int) -> Value:
    """V Q, where B = Q R."""
    transformed, _ = triangular(concatenate([B, V.mT], -1), n, n)
    return transformed.take(np.arange(n, 2 * n), -1).mT


def _diagonalised(B: Value, V: Value, n: int) -> tuple[Value, Value]:
    rotations = Rotations(n, B.dtype)
    count = sweeps(n, B.dtype) + (2 < n < PREPARED)
    rounds = range(count * rotations.rounds)
    if n <= LARGEST:
        return _diagonalised_flat(rotations, len(rounds), B, V, n)
    for _ in rounds:
        J = rotations.of(B)
        B = J.mT @ (B @ J)
        V = V @ J
    return B, V


def _diagonalised_flat(
    rotations: Rotations, rounds: int, B: Value, V: Value, n: int
) -> tuple[Value, Value]:
    """The same, entry by entry."""
    B, V, shape = flat(B, n), flat(V, n), (n, n, n)
    both = constant(rotations.with_differences(), B.dtype)
    from_right = Product(shape, B.dtype, b=rotations.place)
    from_left = Product(shape, B.dtype, turned=True, a=rotations.place)
    for _ in range(rounds):
        J = rotations.cosines_and_sines(B @ both)
        B = from_left(J, from_right(B, J))
        V = from_right(V, J)
    return B.reshape(2, n, n), V.reshape(2, n, n)
