"""Random orthogonal butterflies: preconditioners that make leading blocks nonsingular."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.stack import Array


class Butterfly(NamedTuple):
    """A random orthogonal matrix W of even order, the product of ``depth`` sparse layers.

    Attributes
    ----------
    cosine, sine : (depth, order // 2) float64
        the angle of each rotation-reflection, uniform on the circle
    permutation : (order,) int64
        of the vector's entries, first of all: the layers alone share the symmetry of some matrices
        (the reversal, say), whose leading blocks they leave singular whatever their angles
    """

    cosine: Array
    sine: Array
    permutation: NDArray[np.int64]


def random_butterfly(order: int, rng: np.random.Generator) -> Butterfly:
    r"""A butterfly deep enough that each entry of W x depends on every entry of x.

    One layer maps the halves (a, b) of a vector to the interleaved pairs

    .. math:: (c_i a_i + s_i b_i,\; s_i a_i - c_i b_i), \qquad c_i^2 + s_i^2 = 1,

    the constant-geometry form of the fast Hadamard transform with a random angle in each pair.
    ``ceil(log2 order)`` layers mix everything. The layers are orthogonal, so undoing them costs
    about u log2(order) of relative error, which refinement removes.

    Parameters
    ----------
    order : int
        even
    rng : numpy.random.Generator

    Notes
    -----
    Applying W to a matrix of order n costs 3 n^2 log2 n operations, no product.

    References
    ----------
    Parker 1995, "Random butterfly transformations with applications in computational linear
    algebra", UCLA CSD-950023; Baboulin, Dongarra, Herrmann & Tomov 2013, "Accelerating linear
    system solutions using randomization techniques", ACM TOMS 39; Trogdon 2019, "On spectral and
    numerical properties of random butterfly matrices", Appl. Math. Lett. 95 (the angles).
    """
    if order % 2:
        raise ValueError(f"a butterfly needs an even order, not {order}")
    depth = max(1, (order - 1).bit_length()) if order else 0
    angle = rng.uniform(0.0, 2.0 * np.pi, (depth, order // 2))
    return Butterfly(np.cos(angle), np.sin(angle), rng.permutation(order))


def apply_butterfly(W: Butterfly, A: NDArray, *, transpose: bool = False) -> Array:
    """The product W A, or W^T A, for a stack A (..., order, p)."""
    A = np.asarray(A, dtype=np.float64)
    if not transpose:
        A = A[..., W.permutation, :]
    layers = list(zip(W.cosine, W.sine, strict=True))
    half = A.shape[-2] // 2
    for c, s in reversed(layers) if transpose else layers:
        c, s = c[:, None], s[:, None]
        mixed = np.empty_like(A)
        if transpose:
            even, odd = A[..., 0::2, :], A[..., 1::2, :]
            mixed[..., :half, :] = c * even + s * odd
            mixed[..., half:, :] = s * even - c * odd
        else:
            a, b = A[..., :half, :], A[..., half:, :]
            mixed[..., 0::2, :] = c * a + s * b
            mixed[..., 1::2, :] = s * a - c * b
        A = mixed
    return A[..., np.argsort(W.permutation), :] if transpose else A


def transform(A: Array, seed: int) -> tuple[Array, Butterfly, Butterfly]:
    """U A V^T with random butterflies U and V, and both, for a stack (k, n, n) of even order."""
    rng = np.random.default_rng(seed)
    n = A.shape[-1]
    U, V = random_butterfly(n, rng), random_butterfly(n, rng)
    mixed = apply_butterfly(U, A)
    mixed = apply_butterfly(V, mixed.swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.ascontiguousarray(mixed), U, V


def undo(Y: Array, U: Butterfly, V: Butterfly) -> Array:
    """inv(A) = V^T Y U from the inverse Y of U A V^T."""
    X = apply_butterfly(V, Y, transpose=True)
    X = apply_butterfly(U, X.swapaxes(-1, -2), transpose=True).swapaxes(-1, -2)
    return np.ascontiguousarray(X)
