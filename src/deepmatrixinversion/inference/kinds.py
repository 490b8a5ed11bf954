"""Which kinds of arrays are taken: those that NumPy reads whole; the others refused by name."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
