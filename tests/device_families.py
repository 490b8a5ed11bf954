"""Matrices for the kernel of NVIDIA devices, on one and on this processor."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.matrices.spectra import with_condition


def families(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Normal and uniform matrices, of condition 1e2 to 1e15, badly scaled, permuted, sparse."""
    normal = rng.standard_normal((count, n, n))
    found = [normal, rng.uniform(-1, 1, (count, n, n))]
    found += [with_condition(rng, n, np.full(count, kappa)) for kappa in (1e2, 1e6, 1e10, 1e15)]
    for spread in (3, 40):
        rows, columns = rng.integers(-spread, spread + 1, (2, count, n))
        found.append(np.ldexp(normal, rows[:, :, None] + columns[:, None, :]))
    found += [normal * 1e-100, normal * 1e150]
    found.append(np.stack([np.eye(n)[rng.permutation(n)] for _ in range(count)]))
    found.append(normal * (rng.random((count, n, n)) < 0.5) + 3 * np.eye(n))
    found.append(np.tril(normal) + np.sign(np.eye(n)))
    return np.concatenate(found)
