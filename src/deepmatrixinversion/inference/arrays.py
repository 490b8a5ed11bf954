"""What may be inverted: from anything array-like to a stack of real float matrices and back.

Kinds of arrays that NumPy reads whole are taken; the others are refused by name.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.errors import UnsupportedArrayError

ELSEWHERE = {
    "torch": "call its namesake in deepmatrixinversion.torch, or convert with "
    "{name}.detach().cpu().numpy()",
    "jax": "call its namesake in deepmatrixinversion.jax, or, outside of jax.jit, convert with "
    "numpy.asarray({name})",
    "jaxlib": "call its namesake in deepmatrixinversion.jax, or, outside of jax.jit, convert with "
    "numpy.asarray({name})",
    "cupy": "convert with cupy.asnumpy({name})",
    "dask": "call its namesake in deepmatrixinversion.dask, or convert with {name}.compute()",
    "tensorflow": "convert with {name}.numpy()",
    "mlx": "convert with numpy.array({name})",
    "sparse": "convert with {name}.todense()",
}
"""By the package that an array's type comes from: what to do with it instead."""


MOST_AXES = 64
"""NumPy's limit: lists nested deeper, or within themselves, are left to its error."""


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


def as_array(A: Any, name: str) -> NDArray[Any]:
    """A as a plain array, where that loses nothing and is not another library's business.

    Raises
    ------
    UnsupportedArrayError
        For arrays of other libraries, sparse and masked ones, and dtypes that are not inverted.
    """
    _refuse_foreign(A, name)
    _refuse_within(A, name)
    array = np.asarray(A)
    _check_dtype(array, name)
    return array


def like(X: NDArray[Any], A: object) -> NDArray[Any]:
    """X as the subclass of ``numpy.ndarray`` that A is of, such as ``numpy.matrix``."""
    return X if not isinstance(A, np.ndarray) or type(A) is np.ndarray else A.__array_wrap__(X)


def _refuse_within(A: Any, name: str) -> None:
    """Refuse nested lists by any of their elements, level by level, one of each type looked at."""
    level = [A]
    for _ in range(MOST_AXES):
        level = list(chain.from_iterable(x for x in level if isinstance(x, (list, tuple))))
        for element in dict(zip(map(type, level), level, strict=True)).values():
            _refuse_foreign(element, f"{name}[...]")
        if not level:
            break


def _refuse_foreign(A: Any, name: str) -> None:
    if isinstance(A, np.ma.MaskedArray):
        raise UnsupportedArrayError(
            f"{name} is a masked array, and inverses of matrices with holes are not defined; fill "
            f"it with {name}.filled(value)"
        )
    if any((c.__module__ or "").startswith("scipy.sparse") for c in type(A).__mro__):
        raise UnsupportedArrayError(
            f"{name} is a sparse {type(A).__name__}, and its inverse would be dense; convert with "
            f"{name}.toarray()"
        )
    package = package_of(A)
    standard = hasattr(type(A), "__array_namespace__")
    if package in ELSEWHERE or (standard and not isinstance(A, np.ndarray | np.generic)):
        raise refusal(A, package, name)


def package_of(A: object) -> str:
    """The package that A's type comes from; of a subclass, that of the array it is."""
    packages = [(c.__module__ or "").partition(".")[0] for c in type(A).__mro__]
    return next((p for p in packages if p in ELSEWHERE), packages[0])


def refusal(A: object, package: str, name: str) -> UnsupportedArrayError:
    """What to say of an array of another library that NumPy does not read."""
    remedy = ELSEWHERE.get(package, "convert it to a NumPy array").format(name=name)
    return UnsupportedArrayError(
        f"{name} is a {package} {type(A).__name__} that cannot be read as a NumPy array; {remedy}"
    )


def _check_dtype(A: NDArray[Any], name: str) -> None:
    native = A.dtype.newbyteorder("=")
    if native in (np.float32, np.float64, np.complex64, np.complex128) or native.kind in "biu":
        return
    if A.dtype == np.float16:
        reason = "float16 has too few bits for an inverse; convert to float32 or float64"
    elif A.dtype.kind in "fc":
        reason = "its bounds would not hold in float64; convert to float64 or complex128"
    elif A.dtype == object and A.size and isinstance(A.flat[0], (list, np.ndarray)):
        reason = f"its elements are arrays; stack them with numpy.stack({name})"
    else:
        reason = "its entries are not numbers of a fixed precision; convert to float64"
    raise UnsupportedArrayError(f"{name} has dtype {A.dtype}: {reason}")
