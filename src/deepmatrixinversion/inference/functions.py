"""The functions that stand in for their namesakes in ``numpy.linalg``, with proofs.

Each takes ``model``, an ``Inverter``, a bundled name, a model directory or ``user/repo``; without
one, the bundled model that suits the order.
"""

from __future__ import annotations

import functools
import os
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.inference.results import Solution
from deepmatrixinversion.inference.single import (
    single_columns,
    single_inverse,
    single_inversion,
    single_solution,
)
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.models.zoo import is_path, name_for_order

Model = Inverter | str | os.PathLike[str]


def inv(A: ArrayLike, *, model: Model | None = None, rtol: float | None = None) -> NDArray:
    """Certified inverses, or ``SingularMatrixError``: see ``Inverter.inv``.

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion import inv
    >>> inv([[2, 0], [0, 4]])
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    X = single_inverse(A, rtol) if model is None and _alone(A) else None
    return _inverter(model, A).inv(A, rtol=rtol) if X is None else X


def inv_ex(
    A: ArrayLike,
    *,
    model: Model | None = None,
    tol: float | None = None,
    rtol: float | None = None,
    seed: int = 0,
    start: ArrayLike | None = None,
) -> Inversion:
    """Inverses with certificates, whatever they say: see ``Inverter.inv_ex``.

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion import inv_ex
    >>> result = inv_ex([np.eye(3), np.ones((3, 3))])
    >>> result.certificate.certified
    array([ True, False])
    """
    usual = model is None and tol is None and start is None
    if usual and _alone(A) and (one := single_inversion(A, rtol)) is not None:
        return one
    return _inverter(model, A).inv_ex(A, tol=tol, rtol=rtol, seed=seed, start=start)


def solve(
    A: ArrayLike, B: ArrayLike, *, model: Model | None = None, rtol: float | None = None
) -> NDArray:
    """The certified solution of A Y = B, or ``SingularMatrixError``: see ``Inverter.solve``.

    Examples
    --------
    >>> from deepmatrixinversion import solve
    >>> solve([[2, 0], [0, 4]], [1, 1])
    array([0.5 , 0.25])
    """
    Y = single_columns(A, B, rtol) if model is None and _alone(A) else None
    return _inverter(model, A).solve(A, B, rtol=rtol) if Y is None else Y


def solve_ex(
    A: ArrayLike,
    B: ArrayLike,
    *,
    model: Model | None = None,
    rtol: float | None = None,
    start: ArrayLike | None = None,
) -> Solution:
    """The solution of A Y = B with its error bound: see ``Inverter.solve_ex``."""
    usual = model is None and start is None
    one = single_solution(A, B, rtol) if usual and _alone(A) else None
    return _inverter(model, A).solve_ex(A, B, rtol=rtol, start=start) if one is None else one


def _alone(A: ArrayLike) -> TypeGuard[NDArray]:
    """One matrix in NumPy's hands: the compiled kernel may take it in one call."""
    return type(A) is np.ndarray and A.ndim == 2


def _inverter(model: Model | None, A: ArrayLike) -> Inverter:
    if isinstance(model, Inverter):
        return model
    if model is None:
        return _for_order(np.shape(A)[-1] if np.ndim(A) else 1)
    if not is_path(model):
        return _loaded(os.fspath(model))
    # A directory is known by its path, whatever the working directory, and read again when its
    # model changes.
    path = os.path.abspath(os.path.expanduser(os.fspath(model)))
    config = os.path.join(path, "config.json")
    return _loaded(path, os.stat(config).st_mtime_ns if os.path.isfile(config) else 0)


@functools.lru_cache(maxsize=256)
def _for_order(order: int) -> Inverter:
    return _loaded(name_for_order(order))


@functools.lru_cache(maxsize=16)
def _loaded(name: str, changed: int = 0) -> Inverter:
    return Inverter.from_pretrained(name)
