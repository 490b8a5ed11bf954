"""The ways in which ``dmxinvert`` can invert a block of matrices."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

from deepmatrixinversion.cli.model_names import newest
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.inference.numpy_mode import numpy_inverse
from deepmatrixinversion.linalg.certify import certify
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.models.config import ANY_ORDER
from deepmatrixinversion.models.zoo import ANY, DEFAULTS, name_for_order

Method = Callable[[np.ndarray], Inversion]

NETWORK, NUMPY = MODES = ("nn", "numpy")


def choose_method(options: argparse.Namespace, order: int) -> tuple[Method, str | None]:
    """The method that the options ask for, and the name of the model behind it, if any."""
    if options.invert_mode == NUMPY:
        return lambda A: _certified(A, numpy_inverse(A), options.rtol), None
    inverter = choose_inverter(options, order)
    if not options.raw:
        return lambda A: inverter.inv_ex(A, tol=options.tol, rtol=options.rtol), inverter.model.name
    if inverter.order not in (order, ANY_ORDER):
        raise ValueError(
            f"{options.inputmx}: its matrices are of order {order}, and --raw writes the network's "
            f"own output, but {inverter.model.name} is of order {inverter.order}: leave out --raw, "
            f"or train a model with 'dmxtrain --msize {order}'"
        )
    return lambda A: _certified(A, _guessed(A, inverter), options.rtol), inverter.model.name


def choose_inverter(options: argparse.Namespace, order: int) -> Inverter:
    """The network that the options ask for."""
    name = None if options.model is None else newest(options.model)
    if name is None:
        # Schur complements are no network's own output: beyond the orders of the others,
        # --raw is the one that takes any.
        name = ANY if options.raw and order not in DEFAULTS else name_for_order(order)
    inverter = Inverter.from_pretrained(name, batch=options.batch_size)
    if options.model is not None and "@" in inverter.model.name:
        print(f"model {inverter.model.name}", file=sys.stderr)
    return inverter


def _guessed(A: np.ndarray, inverter: Inverter) -> np.ndarray:
    """The network's raw answers; NaN for a matrix that is not finite, which it does not take."""
    finite = np.isfinite(A).all(axis=(-2, -1))
    if finite.all():
        return inverter.guess(A)
    X = np.full_like(A, np.nan)
    X[finite] = inverter.guess(A[finite])
    return X


def _certified(A: np.ndarray, X: np.ndarray, rtol: float | None) -> Inversion:
    return Inversion(X, certify(A, X, rtol=rtol), np.zeros(len(A), dtype=np.int64))
