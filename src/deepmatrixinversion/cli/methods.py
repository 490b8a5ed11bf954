"""The ways in which ``dmxinvert`` can invert a block of matrices."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.inference.numpy_mode import numpy_inverse
from deepmatrixinversion.linalg.certificate import certify
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.pseudoinverse import pseudo_inverse
from deepmatrixinversion.models.config import ANY_ORDER
from deepmatrixinversion.models.zoo import ANY, DEFAULTS, name_for_order

Method = Callable[[np.ndarray], Inversion]


def choose_method(options: argparse.Namespace, order: int) -> tuple[Method, str | None]:
    """The method that the options ask for, and the name of the model behind it, if any."""
    if options.invert_mode == "numpy":
        return lambda A: _certified(A, numpy_inverse(A)), None
    name = options.model
    if name is None:
        # Schur complements are no network's own output: beyond the orders of the others,
        # --raw is the one that takes any.
        name = ANY if options.raw and order not in DEFAULTS else name_for_order(order)
    inverter = Inverter.from_pretrained(name, batch=options.batch_size)
    if options.model is not None and "@" in inverter.model.name:
        print(f"model {inverter.model.name}", file=sys.stderr)
    if not options.raw:
        return lambda A: inverter.inv_ex(A, tol=options.tol), inverter.model.name
    if inverter.order not in (order, ANY_ORDER):
        raise ValueError(
            f"{options.inputmx}: its matrices are of order {order}, and --raw writes the network's "
            f"own output, but {inverter.model.name} is of order {inverter.order}: leave out --raw, "
            f"or train a model with 'dmxtrain --msize {order}'"
        )
    return lambda A: _certified(A, _guesses(inverter, A)), inverter.model.name


def _guesses(inverter: Inverter, A: np.ndarray) -> np.ndarray:
    """The network's raw answers, NaN for matrices that are not finite."""
    finite = np.all(np.isfinite(A), axis=(1, 2))
    if finite.all():
        return inverter.guess(A)
    # The identity in their place: one stack, whatever is in it.
    X = inverter.guess(np.where(finite[:, None, None], A, np.eye(A.shape[-1], dtype=A.dtype)))
    X[~finite] = np.nan
    return X


def replaced(A: np.ndarray, X: np.ndarray, certified: np.ndarray, how: str) -> np.ndarray:
    """X with what is not certified replaced: by NaN, not at all, or by the pseudo-inverse."""
    if how == "keep" or certified.all():
        return X
    X = X.copy()
    X[~certified] = np.nan if how == "nan" else pseudo_inverse(A[~certified]).pseudoinverse
    return X


def _certified(A: np.ndarray, X: np.ndarray) -> Inversion:
    return Inversion(X, certify(A, X), np.zeros(len(A), dtype=np.int64))
