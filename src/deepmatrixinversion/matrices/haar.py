"""Uniformly distributed orthogonal matrices."""

from __future__ import annotations

from typing import Any

from deepmatrixinversion.matrices.sources import Source


def haar(source: Source, count: int, n: int) -> Any:
    """Orthogonal matrices (count, n, n), uniform with respect to Haar measure.

    Q_k = M diag(1, Q_(k-1)) where M is orthogonal with a uniform first column x: here
    M = -sign(x_1) H with H the Householder reflection along x + sign(x_1) e_1.

    Notes
    -----
    n rank-one updates of the whole stack, rather than one QR factorisation a matrix: on a GPU,
    where torch factorises stacks one matrix at a time, this is what keeps training fed.

    References
    ----------
    Stewart (1980), The efficient generation of random orthogonal matrices; Diaconis and
    Shahshahani (1987), The subgroup algorithm.
    """
    xp = source.xp
    q = source.eye(n) + source.uniform((count, 1, 1), 0.0, 0.0)  # a writable stack of identities
    for k in range(1, n + 1):
        z = source.normal((count, k, 1))
        norm = (z * z).sum(-2)[:, :, None] ** 0.5
        sign = xp.copysign(xp.ones_like(norm), z[:, :1])
        block = q[:, n - k :, n - k :]
        if k > 1:
            z[:, :1] += sign * norm  # now the Householder vector, with z^T z = 2 norm |z_1|
            block = block - (z * (1 / (norm * abs(z[:, :1])))) @ (z.swapaxes(-1, -2) @ block)
            sign = -sign
        q[:, n - k :, n - k :] = sign * block
    return q
