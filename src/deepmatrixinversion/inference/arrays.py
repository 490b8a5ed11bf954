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
        is exact.
    square : bool
        Whether m = n is required.
    vectors : bool
        Whether one vector (n,) is taken, as a column (n, 1).
    name : str
        What to call the argument in messages.

    Raises
    ------
    ValueError
        For another kind of array or dtype, fewer than two axes and integers that float64 cannot
        hold; ``numpy.linalg.LinAlgError``, which is one, for matrices that are not square where
        they must be.
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
    """Refuse NaN and infinities, by the index of the first."""
    bad = ~np.isfinite(as_array(A, name))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} has an entry that is not finite, the first at index {where}")


def start_like(start: ArrayLike | None, shape: tuple[int, ...], is_complex: bool) -> NDArray | None:
    """A given start for matrices of this shape, float64, embedded where the matrices are.

    Raises
    ------
    ValueError
        When it does not broadcast against them, or is complex where they are real.
    """
    if start is None:
        return None
    form = real_form(start, name="start")
    own = np.shape(start)
    stacked = zip(own[-3::-1], shape[-3::-1], strict=False)
    fits = len(own) <= len(shape) and own[-2:] == shape[-2:]
    if not (fits and all(given in (1, wanted) for given, wanted in stacked)):
        raise ValueError(f"a start of shape {own} does not fit A of shape {shape}")
    if form.is_complex and not is_complex:
        raise ValueError("the start is complex, but A is real")
    E = embed(form.array + 0j) if is_complex and not form.is_complex else form.array
    return E.astype(np.float64, copy=False)


def from_lower_triangle(A: NDArray) -> NDArray:
    """The Hermitian matrices whose lower triangles are those of A."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise np.linalg.LinAlgError(f"A must hold square matrices, not of shape {A.shape}")
    below = np.tril(A, -1)
    diagonal = np.real(np.einsum("...ii->...i", A))[..., None] * np.eye(A.shape[-1], dtype=bool)
    return below + diagonal.astype(A.dtype) + below.conj().swapaxes(-1, -2)


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
