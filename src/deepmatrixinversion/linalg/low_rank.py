r"""Inverses after a change of low rank.

With D = S - P = Q B, Q an orthonormal basis of the range of D and B = Q^T D,

.. math:: S^{-1} = X - X Q (I + B X Q)^{-1} B X, \qquad X = P^{-1}.

The range is that of D times a few random vectors. Cheap where the rank is low, whatever n.

References
----------
Woodbury 1950, "Inverting modified matrices"; Halko, Martinsson & Tropp 2011, SIAM Review 53
(randomised range finders).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.linalg.elimination import eliminated
from deepmatrixinversion.linalg.stack import Array

NEGLIGIBLE = 1e-9
"""What is left of a random direction of the change, in units of ‖S‖F, is none from here on."""


def moved(S: Array, P: Array, X: Array, most: int) -> tuple[Array, NDArray[np.int64]]:
    """Inverses of S (k, n, n) from those of P where S - P has rank ``most`` or less, and its rank.

    The rank is ``most`` + 1 where it is larger, and the result NaN; it is no inverse where X is
    none, and not finite where I + B X Q is singular. A matrix's bits do not depend on others.

    Notes
    -----
    Cost of a rank r, in matrix products: (r + 1)/n to find it, and 4 r/n + 5 (r/n)² if it is low.
    """
    D, Y = S - P, np.full_like(S, np.nan)
    Q = _range(D, NEGLIGIBLE * np.sqrt(np.einsum("kij,kij->k", S, S)), most + 1)
    rank = Q.any(axis=1).sum(axis=1)
    low = rank <= most
    Q, X = Q[low, :, :most], X[low]
    B, XQ = Q.swapaxes(1, 2) @ D[low], X @ Q
    with np.errstate(all="ignore"):
        M = eliminated(np.eye(most) + B @ XQ)
        Y[low] = X - XQ @ (M @ (B @ X))
    return Y, rank


def cost(rank: NDArray[np.int64], n: int, most: int) -> Array:
    """What ``moved`` costs, in matrix products of order n."""
    to_find = np.minimum(rank + 1, most + 1) / n
    return to_find + np.where(rank <= most, 4.0 * rank / n + 5.0 * (rank / n) ** 2, 0.0)


def _range(D: Array, least: Array, most: int) -> Array:
    """Orthonormal columns (k, n, most) with the range of D, zero from the rank on."""
    k, n = D.shape[:2]
    vectors = np.random.default_rng(n).standard_normal((n, most)) / np.sqrt(n)
    Q, going = np.zeros((k, n, most)), np.ones(k, dtype=bool)
    for j in range(most):
        q = D @ vectors[:, j : j + 1]
        for _ in range(2):  # twice is enough (Kahan & Parlett)
            q = q - Q[:, :, :j] @ (Q[:, :, :j].swapaxes(1, 2) @ q)
        size = np.sqrt((q * q).sum(axis=(1, 2)))
        going = going & (size > least)
        Q[going, :, j] = q[going, :, 0] / size[going, None]
    return Q
