"""What may be inverted: from anything array-like to a stack of real float matrices and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.kinds import as_array


class RealForm(NamedTuple):
    """A stack of matrices in float32 or float64, complex ones as real ones of twice the size.

    C = P + iQ is embedded as [[P, -Q], [Q, P]]: sums, products, inverses and pseudo-inverses of
    embeddings are the embeddings of theirs, and row sums of moduli only grow, so that a bound
    on the embedding's infinity norm is a bound on that of C.
    """

    array: NDArray
    is_complex: bool


def real_form(
    A: ArrayLike, *, square: bool = True, vectors: bool = False, name: str = "A"
) -> RealForm:
    """Check matrices and bring them to ``RealForm``, exactly; the input is never modified.

    Parameters
    ----------
    A : (..., m, n) array_like
        float32, float64, complex64 or complex128; integers and booleans become float64 where that
        is exact. Entries may be NaN or infinite (``require_finite`` refuses those).
    square : bool
        Whether m = n is required.
    vectors : bool
        Whether one vector (n,) is taken, as a column (n, 1).
    name : str
        What to call the argument in messages.

    Raises
    ------
    UnsupportedArrayError
        For another dtype or kind of array.
    numpy.linalg.LinAlgError
        For fewer than two axes, and matrices that are not square where they must be.
    ValueError
        For integers that float64 cannot hold.
    """
    A = as_array(A, name)
    if A.ndim < 2 and not (vectors and A.ndim == 1):
        vector = "one vector, " if vectors else ""
        raise np.linalg.LinAlgError(
            f"{name} must be {vector}one matrix or a stack of them, shape (..., m, n), "
            f"not {A.shape}"
        )
    if square and A.shape[-1] != A.shape[-2]:
        raise np.linalg.LinAlgError(f"{name} must hold square matrices, not of shape {A.shape}")
    if A.dtype.kind in "biu":
        A = _exact_integers(A, name)
    A = A.astype(A.dtype.newbyteorder("="), copy=False)
    if A.ndim == 1:
        A = A[:, None]
    if A.dtype.kind != "c":
        return RealForm(A, False)
    return RealForm(embed(A), True)


def require_finite(A: ArrayLike, name: str = "A") -> None:
    """Raise ``ValueError``, naming the first entry that is NaN or infinite, if there is one."""
    finite = np.isfinite(as_array(A, name))
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name} has an entry that is not finite, the first at index {where}")


def embed(C: NDArray[Any]) -> NDArray[Any]:
    """[[Re C, -Im C], [Im C, Re C]] of each matrix (..., m, n), shape (..., 2m, 2n)."""
    real, imag = np.real(C), np.imag(C)
    upper = np.concatenate([real, -imag], axis=-1)
    lower = np.concatenate([imag, real], axis=-1)
    return np.concatenate([upper, lower], axis=-2)


def extract(E: NDArray) -> NDArray:
    """The complex matrices (..., m, n) whose embeddings have the left half of E."""
    return from_parts(E[..., : E.shape[-1] // 2])


def from_parts(S: NDArray) -> NDArray:
    """The complex matrices (..., m, n) whose real parts are stacked on their imaginary ones.

    Put together part by part: a multiplication by 1j would make NaN of infinities.
    """
    m = S.shape[-2] // 2
    C = np.empty((*S.shape[:-2], m, S.shape[-1]), dtype=np.result_type(S.dtype, np.complex64))
    C.real, C.imag = S[..., :m, :], S[..., m:, :]
    return C


def _exact_integers(A: NDArray, name: str) -> NDArray[np.float64]:
    F = A.astype(np.float64)
    if A.dtype.kind != "b" and A.dtype.itemsize == 8:
        # Compared as integers, for which 2^63 and 2^64 themselves, rounded up to, are too large.
        limit = 2.0**63 if A.dtype.kind == "i" else 2.0**64
        fits = limit > F
        back = np.where(fits, F, 0.0).astype(A.dtype)
        if not (fits & (back == A)).all():
            raise ValueError(
                f"{name} has integers beyond 2^53 that float64 cannot hold exactly; convert to "
                "float64 yourself if rounding them is fine"
            )
    return F
