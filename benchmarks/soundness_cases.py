"""Matrices and candidates that a certificate could be wrong about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from deepmatrixinversion.matrices.spectra import with_singular_values

Adversary = Callable[[np.random.Generator, np.ndarray], np.ndarray]
EPS = 2.0**-52
RUMP = np.array(
    [
        [-5046135670319638, -3871391041510136, -5206336348183639, -6745986988231149],
        [-640032173419322, 8694411469684959, -564323984386760, -2807912511823001],
        [-16935782447203334, -18752427538303772, -8188807358110413, -14820968618548534],
        [-1069537498856711, -14079150289610606, 7074216604373039, 7257960283978710],
    ],
    dtype=np.float64,
)
"""Rump's matrix of condition number 6.4e64: singular to working precision, and yet not singular."""


def conditioned(rng: np.random.Generator, k: int, n: int, kappa: np.ndarray) -> np.ndarray:
    """Random matrices of condition numbers ``kappa`` (k,), singular values in three patterns."""
    position = np.linspace(0.0, 1.0, n) if n > 1 else np.zeros(1)
    exponent = np.stack([position, (position > 0) * 1.0, (position == 1) * 1.0])
    return with_singular_values(rng, kappa[:, None] ** -exponent[rng.integers(3, size=k)])


def lapack_type(rng: np.random.Generator, kind: int, k: int, n: int) -> np.ndarray:
    """The 11 matrix types of LAPACK's test paths for general matrices (LAWN 41, table 5)."""
    A = rng.uniform(-1, 1, (k, n, n))
    tiny, huge = np.finfo(float).tiny, np.finfo(float).max
    if kind == 1:
        return A * np.eye(n)
    if kind == 2:
        return np.triu(A)
    if kind == 3:
        return np.tril(A)
    if kind in (5, 6, 7):
        zero = {5: slice(0, 1), 6: slice(n - 1, n), 7: slice(n // 2, n)}[kind]
        A[:, :, zero] = 0.0
        return A
    kappa = {8: np.sqrt(0.1 / EPS), 9: 0.1 / EPS}.get(kind, 2.0)
    scale = {10: tiny / EPS, 11: huge * EPS}.get(kind, 1.0)
    return conditioned(rng, k, n, np.full(k, kappa)) * scale


def hilbert(n: int) -> np.ndarray:
    """The Hilbert matrix, rounded."""
    i = np.arange(n)
    return 1.0 / (i[:, None] + i + 1.0)


def singular_integers(rng: np.random.Generator, k: int, n: int) -> np.ndarray:
    """Exactly singular integer matrices: products of factors of a rank below n."""
    r = max(1, n - 1 - int(rng.integers(2)))
    if n == 1:
        return np.zeros((k, 1, 1))
    return (rng.integers(-99, 100, (k, n, r)) @ rng.integers(-99, 100, (k, r, n))).astype(float)


def matrices(rng: np.random.Generator, k: int) -> Iterator[tuple[str, np.ndarray]]:
    """Named stacks of about ``k`` matrices each, of random orders."""

    def order(largest: int = 8) -> int:
        return int(rng.integers(1, largest + 1))

    for _ in range(2):
        n = order()
        yield "kappa 1 to 1e17", conditioned(rng, k, n, 10.0 ** rng.uniform(0, 17, k))
    for kind in range(1, 12):
        yield f"LAPACK type {kind}", lapack_type(rng, kind, max(1, k // 4), order())
    n = max(2, order())
    A = singular_integers(rng, k, n)
    yield "singular integers", A
    B = A.copy()
    at = np.arange(k), *rng.integers(n, size=(2, k))
    B[at] = _neighbours(rng, B[at])
    yield "singular +- 1 ulp", B
    n = max(2, order(5))
    small = rng.integers(-3, 4, (k, n, n)).astype(float)
    small[:, -1] = small[:, 0]
    yield "singular, two equal rows", small
    turned = RUMP[rng.permutation(4)][:, rng.permutation(4)] * 2.0 ** int(rng.integers(-50, 50))
    yield "Rump 4x4", np.broadcast_to(turned, (max(1, k // 16), 4, 4)).copy()
    yield "Hilbert", hilbert(int(rng.integers(1, 31)))[None]
    yield "uniform", rng.uniform(-1, 1, (k, n, n))
    for low, high in ((-330, -290), (270, 307), (-300, 300)):
        scale = 10.0 ** rng.uniform(low, high, (max(1, k // 2), 1, 1))
        yield f"scale 1e{low} to 1e{high}", rng.uniform(-1, 1, (len(scale), n, n)) * scale
    rows = 10.0 ** rng.uniform(-150, 150, (k // 2 + 1, n, 1))
    yield "rows badly scaled", rng.uniform(-1, 1, (len(rows), n, n)) * rows
    mixed = rng.uniform(-1, 1, (k // 2 + 1, n, n))
    yield "subnormal entries", np.where(rng.random(mixed.shape) < 0.3, mixed * 1e-310, mixed)


def _neighbours(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """The next number above or below each."""
    return np.nextafter(x, np.where(rng.random(x.shape) < 0.5, np.inf, -np.inf))


def approximate_inverse(A: np.ndarray) -> np.ndarray:
    """LAPACK's inverses, transposes where it finds none: a test's starting point only."""
    with np.errstate(all="ignore"):
        try:
            return np.linalg.inv(A)
        except np.linalg.LinAlgError:
            if len(A) == 1:
                return A.swapaxes(1, 2)
            return np.concatenate([approximate_inverse(one[None]) for one in A])


def _spoiled(value: float) -> Adversary:
    """One entry of each is no number."""

    def spoil(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
        k, n = X.shape[:2]
        Y = X.copy()
        Y[np.arange(k), rng.integers(n, size=k), rng.integers(n, size=k)] = value
        return Y

    return spoil


def _few(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """About one entry of each."""
    return rng.random(X.shape) < 1.0 / X.shape[-1] ** 2


def _bit_flipped(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    flips = np.uint64(1) << rng.integers(0, 64, X.shape).astype(np.uint64)
    return (X.view(np.uint64) ^ np.where(_few(rng, X), flips, np.uint64(0))).view(np.float64)


def _residual_one(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """I - X A close to one: scaled so that it is 1 -+ a few ulp, from either side."""
    ulps = rng.integers(-4, 5, (len(X), 1, 1)) * EPS
    return X * np.where(rng.random((len(X), 1, 1)) < 0.5, ulps, 2.0 + ulps)


ADVERSARIES: dict[str, Adversary] = {
    "zero": lambda rng, X: np.zeros_like(X),
    "random": lambda rng, X: rng.standard_normal(X.shape),
    "nan": _spoiled(np.nan),
    "inf": _spoiled(np.inf),
    "transposed": lambda rng, X: np.ascontiguousarray(X.swapaxes(1, 2)),
    "sign-flipped": lambda rng, X: np.where(_few(rng, X), -X, X),
    "huge": lambda rng, X: X * 1e300,
    "tiny": lambda rng, X: X * 1e-300,
    "bit-flipped": _bit_flipped,
    "scaled": lambda rng, X: X * 10.0 ** rng.uniform(-17, 0.31, (len(X), 1, 1)),
    "one-entry-ulp": lambda rng, X: _neighbours(rng, X),
    "residual-one": _residual_one,
}
"""Wrong, or just barely right, candidates made of good ones."""
