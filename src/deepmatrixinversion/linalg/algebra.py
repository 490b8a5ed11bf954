"""What a text of mathematics needs besides operators, to run on any kind of array.

A text is written once, in `+ - * / @ **`, comparisons and ``.mT``, and takes an `Algebra` for what
NumPy arrays, torch tensors and values of an ONNX graph spell differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from deepmatrixinversion.linalg.polynomial import MATRICES, Space


def _plus(x: Any, tiny: Any) -> Any:
    return x + tiny


def _itself(x: Any) -> Any:
    return x


class Algebra(NamedTuple):
    """Matrices of one order, dtype and kind of array.

    Attributes
    ----------
    order, eps : int, float
        n, and the roundoff of the dtype.
    one : array
        The identity.
    where : callable
        ``where(condition, a, b)``.
    space : Space
        How the matrices lie: their product, inner product and norm.
    plus : callable
        x + tiny, in a form that exporters do not take for x.
    constant : callable
        The same numbers, constant to the gradient.
    """

    order: int
    eps: float
    one: Any
    where: Callable[[Any, Any, Any], Any]
    space: Space = MATRICES
    plus: Callable[[Any, Any], Any] = _plus
    constant: Callable[[Any], Any] = _itself


class Candidate(NamedTuple):
    """X, its residual R = I - A X, and ‖R‖F."""

    X: Any
    R: Any
    norm: Any


def candidate(a: Algebra, A: Any, X: Any) -> Candidate:
    """X with its residual: one product."""
    R = a.one - a.space.product(A, X)
    return Candidate(X, R, a.space.norm(R))


def better(a: Algebra, A: Any, old: Candidate, X: Any) -> Candidate:
    """Whichever has the smaller residual, matrix by matrix; the old one where X is NaN."""
    new = candidate(a, A, X)
    accept = new.norm < old.norm
    return Candidate(*(a.where(accept, x, y) for x, y in zip(new, old, strict=True)))
