"""Inverting stacks of matrices with a trained model."""

from __future__ import annotations

import os
from typing import Self

import numpy as np

from deepmatrixinversion.inference.session import DEFAULT_BATCH, Session
from deepmatrixinversion.linalg.iteration import refine
from deepmatrixinversion.linalg.scaling import normalise
from deepmatrixinversion.models.directory import ModelDirectory
from deepmatrixinversion.models.zoo import locate, name_for_order


class Inverter:
    """Inverts matrices of one order: a network guesses, Newton-Schulz refines.

    Parameters
    ----------
    model : ModelDirectory
        A verified model directory (``from_pretrained`` finds one by name).

    Attributes
    ----------
    model : ModelDirectory
        Where the network comes from.
    order : int
        Order n of the matrices it inverts.

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion import Inverter
    >>> invert = Inverter.from_pretrained("feedback-3")
    >>> A = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]])
    >>> np.round(invert(A), 12)
    array([[ 0.5 , -0.5 ,  0.  ],
           [ 0.  ,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  0.25]])
    """

    def __init__(self, model: ModelDirectory) -> None:
        self.model = model
        self._session = Session(model)
        self.order = self._session.order

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str]) -> Self:
        """The inverter of a bundled model, a model directory or ``user/repo[@revision]``.

        Raises
        ------
        ModelError
            When there is no such model, or it is malformed.
        """
        return cls(locate(name))

    @classmethod
    def for_order(cls, order: int) -> Self:
        """The inverter of the bundled model for matrices of this order."""
        return cls.from_pretrained(name_for_order(order))

    def guess(self, A: np.ndarray, *, batch: int = DEFAULT_BATCH) -> np.ndarray:
        """The network's raw answer, in float32 arithmetic.

        Parameters
        ----------
        A : (..., n, n) array of finite reals
            Of any scale: it is brought to a norm near one by an exact power of two, undone on
            the answer.
        batch : int
            Matrices per call of the graph.

        Returns
        -------
        (..., n, n) float64, or float32 where A is float32

        Raises
        ------
        ValueError
            When A is no stack of matrices of the model's order, or not finite.
        """
        A = self._checked(A)
        S, exponent = normalise(A)
        return _unscaled(self._guess(S, batch), exponent).astype(_result_dtype(A), copy=False)

    def __call__(self, A: np.ndarray, *, batch: int = DEFAULT_BATCH) -> np.ndarray:
        """Inverses of the matrices of A: the guess, refined in float64 while that helps.

        Parameters and errors are those of ``guess``. Where A is singular to working precision
        the result is the best candidate found: look at its residual before using it.

        Returns
        -------
        (..., n, n) float64, or float32 where A is float32

        Notes
        -----
        Two float64 matrix products for each refinement step, on the matrices not yet finished.
        """
        A = self._checked(A)
        S, exponent = normalise(A)
        X = refine(S, self._guess(S, batch)).X
        return _unscaled(X, exponent).astype(_result_dtype(A), copy=False)

    def _guess(self, S: np.ndarray, batch: int) -> np.ndarray:
        n = self.order
        return self._session(S.reshape(-1, n, n), batch).astype(np.float64).reshape(S.shape)

    def _checked(self, A: np.ndarray) -> np.ndarray:
        A = np.asarray(A)
        n = self.order
        if A.ndim < 2 or A.shape[-2:] != (n, n):
            raise ValueError(
                f"{self.model.name} inverts matrices of order {n}, shape (..., {n}, {n}); "
                f"got shape {A.shape}"
            )
        if A.dtype.kind not in "iuf":
            raise ValueError(f"matrices of dtype {A.dtype} are not real numbers")
        if not np.isfinite(A).all():
            raise ValueError("the matrices have entries that are not finite")
        return A


def _result_dtype(A: np.ndarray) -> type:
    return np.float32 if A.dtype == np.float32 else np.float64


def _unscaled(X: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(X, -exponent[..., None, None])
