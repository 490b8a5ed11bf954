"""Exact arithmetic, by python-flint: what bounds and inverses are held against."""

from __future__ import annotations

import flint
import numpy as np


def integers(A: np.ndarray) -> tuple[flint.fmpz_mat, int]:
    """Integers M and an exponent e with A = M 2^e, exactly."""
    mantissa, exponent = np.frexp(np.asarray(A, dtype=np.float64))
    exponent = np.where(mantissa == 0, 0, exponent.astype(np.int64) - 53)
    lowest = int(exponent[mantissa != 0].min()) if (mantissa != 0).any() else 0
    whole = (mantissa * 2.0**53).astype(np.int64)
    entries = [
        int(m) << (int(e) - lowest) if m else 0
        for m, e in zip(whole.ravel().tolist(), exponent.ravel().tolist(), strict=True)
    ]
    rows, columns = A.shape
    return flint.fmpz_mat(rows, columns, entries), lowest


def power(exponent: int) -> flint.fmpq:
    """2^exponent as a rational."""
    one = flint.fmpq(1)
    return one * (1 << exponent) if exponent >= 0 else one / (1 << -exponent)


def rational(value: float) -> flint.fmpq:
    """A finite float as a rational."""
    p, q = float(value).as_integer_ratio()
    return flint.fmpq(p, q)


def row_norm(M: flint.fmpz_mat | flint.fmpq_mat, n: int) -> flint.fmpz | flint.fmpq:
    """Infinity norm of an exact matrix."""
    entries = M.entries()
    return max(sum(map(abs, entries[i * n : (i + 1) * n]), start=flint.fmpz(0)) for i in range(n))


def violation(
    A: np.ndarray,
    X: np.ndarray,
    certified: bool,
    residual_bound: float,
    error_bound: float,
    relative_error_bound: float = np.inf,
) -> str | None:
    """What is wrong with a certificate, None where nothing is."""
    n = len(A)
    if not np.isfinite(A).all() or not np.isfinite(X).all():
        return "certified non-finite matrices" if certified else None
    if not certified and error_bound == residual_bound == np.inf:
        return None
    M, e = integers(A)
    Y, f = integers(X)
    # I - X A in units of 2^(e + f), or of 1 where that is larger than 1.
    shift = e + f
    product = Y * M
    if shift > 0:
        product, shift = product * (1 << shift), 0
    unit = 1 << -shift
    entries = product.entries()
    residual = max(
        sum(abs((unit if i == j else 0) - entries[i * n + j]) for j in range(n)) for i in range(n)
    )
    if residual_bound < np.inf and rational(residual_bound) * unit < residual:
        return "residual bound violated"
    if not certified and error_bound == np.inf:
        return None
    # A finite error bound proves A nonsingular, accurate or not.
    try:
        inverse = flint.fmpq_mat(M).inv()
    except ZeroDivisionError:
        return "certified a singular matrix"
    if error_bound < np.inf:
        difference = inverse * power(-e) - flint.fmpq_mat(Y) * power(f)
        if rational(error_bound) < row_norm(difference, n):
            return "error bound violated"
        norm = row_norm(Y, n) * power(f)
        if relative_error_bound < np.inf and rational(relative_error_bound) * norm < row_norm(
            difference, n
        ):
            return "relative error bound violated"
    return None
