"""Arrays of other libraries: read without a copy where they lie in memory, given back as they came.

The libraries are never imported here: who holds one of their arrays has them loaded.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.errors import SingularMatrixError, UnsupportedArrayError
from deepmatrixinversion.inference.arrays import ELSEWHERE, package_of, refusal
from deepmatrixinversion.inference.labels import Labels, answer_labels, unlabelled

P = ParamSpec("P")
T = TypeVar("T")


class Namespace(NamedTuple):
    """A library of arrays in the sense of the array API standard, and its package's name."""

    package: str
    module: Any

    def array(self, X: NDArray[Any]) -> Any:
        """X as one of its arrays; float64 that it cannot hold is rounded up to float32.

        That is for bounds. Inverses are of the dtype that came from the library, or refused before.
        """
        X = np.ascontiguousarray(X).reshape(np.shape(X))
        if self.package == "jax" and not sys.modules["jax"].config.jax_enable_x64:
            X = _in_32_bits(X)
        return self.module.asarray(X)


def _in_32_bits(X: NDArray[Any]) -> NDArray[Any]:
    if X.dtype == np.int64:
        return X.astype(np.int32)
    if X.dtype != np.float64:
        return X
    with np.errstate(over="ignore"):
        single = X.astype(np.float32)
    return np.where(single < X, np.nextafter(single, np.float32(np.inf)), single)


def _namespace(A: Any) -> Namespace | None:
    """The library that A comes from, if it is one whose arrays go through."""
    kind = type(A)
    if isinstance(A, np.ndarray | np.generic | list | tuple):
        return None
    package = package_of(A)
    if package == "torch" and package in sys.modules:
        return Namespace(package, sys.modules[package])
    if package in ("jax", "jaxlib") and "jax.numpy" in sys.modules:
        return Namespace("jax", sys.modules["jax.numpy"])
    if package in ELSEWHERE or not hasattr(kind, "__array_namespace__"):
        return None
    return Namespace(package, A.__array_namespace__())


def _read(A: Any, namespace: Namespace, name: str) -> NDArray[Any]:
    """The numbers of A where they lie: on this processor, and nothing to the gradient."""
    try:
        array = np.from_dlpack(A)
    except Exception as error:  # on a device, traced, with a gradient, of a dtype NumPy lacks
        raise refusal(A, namespace.package, name) from error
    wide = array.dtype.kind in "biu"  # inverses in float64
    if wide and namespace.package == "jax" and not sys.modules["jax"].config.jax_enable_x64:
        raise UnsupportedArrayError(
            f"{name} is a jax array of {array.dtype}, and its inverse one of float64, which JAX "
            f"holds with jax_enable_x64 alone: switch that on, or pass {name}.astype('float32')"
        )
    return array


def _mapped(result: Any, back: Callable[[Any], Any]) -> Any:
    """A record of arrays with each of them through ``back``."""
    if isinstance(result, tuple):
        return type(result)(*(_mapped(x, back) for x in result))
    return back(result)


def _first_through(result: Any, labels: Labels) -> Any:
    """The answer, or the first field of a record of answers, with labels; bounds are plain."""
    if isinstance(result, tuple):
        return type(result)(labels(result[0]), *result[1:])
    return labels(result)


class _Way(NamedTuple):
    """How a result, and the inversion that an error carries, become what the arguments were."""

    result: Callable[[Any], Any]
    inversion: Callable[[Any], Any]


def _as_it_is(result: Any) -> Any:
    return result


def _way_back(given: dict[str, Any]) -> _Way:
    """Replace the arguments by NumPy arrays, in place."""
    labels = answer_labels(given)
    for name in given:
        given[name] = unlabelled(given[name])
    namespaces = {name: _namespace(A) for name, A in given.items()}
    found = {x.package: x for x in namespaces.values() if x is not None}
    if len(found) > (labels is None):
        raise UnsupportedArrayError(
            f"{' and '.join(given)} hold arrays of {' and '.join(found)}"
            f"{'' if labels is None else ' beside labels'}; pass plain arrays of one library"
        )
    for name, namespace in namespaces.items():
        if namespace is not None:
            given[name] = _read(given[name], namespace, name)
    if labels is not None:
        return _Way(functools.partial(_first_through, labels=labels), _as_it_is)
    if not found:
        return _Way(_as_it_is, _as_it_is)
    (namespace,) = found.values()
    back = functools.partial(_mapped, back=namespace.array)
    return _Way(back, back)


def keeps_kind(*names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function of NumPy arrays take those of other libraries, and answer with the same.

    The arguments of these names may come from any library whose arrays lie in this machine's memory
    (torch, JAX, array-api-strict and others that know DLPack): the result, or a record's every
    field, and what ``SingularMatrixError`` carries, are arrays of that library then. A pandas
    ``DataFrame`` and an xarray ``DataArray`` give answers with labels, beside plain certificates.

    Raises
    ------
    UnsupportedArrayError
        for arrays that cannot be read so, and for arguments of two libraries
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        places = [list(signature.parameters).index(name) for name in names]

        @functools.wraps(function)
        def through(*args: P.args, **kwargs: P.kwargs) -> T:
            plain = all(type(args[i]) is np.ndarray for i in places if i < len(args))
            if plain and kwargs.keys().isdisjoint(names):
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            given = {name: bound.arguments[name] for name in names}
            back = _way_back(given)
            bound.arguments.update(given)
            try:
                return back.result(function(*bound.args, **bound.kwargs))
            except SingularMatrixError as error:
                error.inversion = back.inversion(error.inversion)
                raise

        return through

    return decorate
