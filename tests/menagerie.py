"""Named matrices that every function of inversion runs over.

``INVERTIBLE`` and ``SINGULAR`` hold square matrices in float64, ``VIEWS`` the same stack in every
shape of memory, ``EMPTY`` what has no entries.
"""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.matrices.spectra import with_condition, with_singular_values

RNG = np.random.default_rng(20)


def hilbert(n: int) -> np.ndarray:
    """1/(i + j + 1)."""
    i = np.arange(n)
    return 1.0 / (i[:, None] + i + 1.0)


def swap(n: int) -> np.ndarray:
    """[[0, I], [I, 0]] of even order n: every small leading block is singular."""
    return np.roll(np.eye(n), n // 2, axis=0)


def uniform(n: int) -> np.ndarray:
    """Entries uniform in [-1, 1]."""
    return RNG.uniform(-1, 1, (n, n))


def _invertible() -> dict[str, np.ndarray]:
    found = {
        "1x1": np.array([[-3.0]]),
        "1x1 tiny": np.array([[3e-300]]),
        "1x1 huge": np.array([[3e300]]),
        "integers": np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 4]]),
        "negative identity": -np.eye(5),
        "rotation": np.array([[0.6, -0.8], [0.8, 0.6]]),
        "Vandermonde": np.vander(np.linspace(-1, 1, 6)),
        "near singular": np.ones((3, 3)) + 1e-9 * np.diag([1.0, 2.0, 4.0]),
        "near singular, larger": with_singular_values(RNG, np.r_[np.ones(8), 1e-9]),
        "symmetric, indefinite": np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]]),
        "tridiagonal": 2 * np.eye(17) - np.eye(17, k=1) - np.eye(17, k=-1),
        "lower triangular": np.tril(uniform(7), -1) + np.eye(7),
        "upper triangular": np.triu(uniform(12), 1) + 2 * np.eye(12),
    }
    for n in (2, 3, 4, 10, 20):
        found[f"identity {n}"] = np.eye(n)
        found[f"permutation {n}"] = np.eye(n)[RNG.permutation(n)]
        found[f"swap {n}"] = swap(n + n % 2)
    for n in (2, 3, 5, 7):
        found[f"Hilbert {n}"] = hilbert(n)
    for n in (3, 4, 8, 16):
        for kappa in (1e2, 1e8):
            found[f"spectrum {n}, kappa {kappa:g}"] = with_condition(RNG, n, kappa)
    for n in range(1, 21):
        found[f"uniform {n}"] = uniform(n)
    for n in (2, 3, 6):
        found[f"tiny {n}"] = 1e-300 * uniform(n)
        found[f"huge {n}"] = 1e300 * uniform(n)
    for n in (33, 64, 130):
        found[f"uniform {n}"] = uniform(n)
    return found


def _singular() -> dict[str, np.ndarray]:
    found = {
        "1x1 zero": np.zeros((1, 1)),
        "counting": np.arange(9.0).reshape(3, 3),
        "counting, tiny": np.arange(9.0).reshape(3, 3) * 2.0**-900,
        "counting, huge": np.arange(9.0).reshape(3, 3) * 2.0**900,
        "nilpotent": np.eye(6, k=1),
        "zero row": np.diag([1.0, 2.0, 0.0, 4.0]),
        "Laplacian of a path": np.diag(np.r_[1.0, 2 * np.ones(6), 1.0])
        - np.eye(8, k=1)
        - np.eye(8, k=-1),
    }
    for n in (2, 3, 7, 20):
        found[f"zero {n}"] = np.zeros((n, n))
        found[f"ones {n}"] = np.ones((n, n))
        B = RNG.integers(-9, 10, (n, n - 1)).astype(float)
        C = RNG.integers(-9, 10, (n - 1, n)).astype(float)
        found[f"integers of rank {n - 1}"] = B @ C
    return found


INVERTIBLE = _invertible()
SINGULAR = _singular()
SMALL = {name: A for name, A in INVERTIBLE.items() if len(A) <= 20}
EMPTY = [(0, 0), (0, 3, 3), (2, 0, 4, 4), (5, 0, 0)]

_STACK = RNG.uniform(-1, 1, (5, 3, 3)) + 2 * np.eye(3)
_READ_ONLY = _STACK.copy()
_READ_ONLY.setflags(write=False)
VIEWS = {
    "plain": _STACK,
    "Fortran": np.asfortranarray(_STACK),
    "strided": np.repeat(np.repeat(_STACK, 2, axis=0), 3, axis=2)[::2, :, ::3],
    "negative strides": _STACK[::-1, ::-1, ::-1],
    "transposed": _STACK.swapaxes(1, 2),
    "broadcast": np.broadcast_to(_STACK[0], (5, 3, 3)),
    "big-endian": _STACK.astype(">f8"),
    "read-only": _READ_ONLY,
}
