"""PyTorch's functions of complex tensors, entry by entry or by moving entries, in planes.

Parameters are those of the ATen operators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from deepmatrixinversion.export.planes.pair import Planes, bilinear, is_complex, parts

# Linear in their one tensor, and without regard to whether it is complex: one plane at a time.
_PLANEWISE = """
alias clone contiguous detach lift_fresh lift_fresh_copy neg positive
broadcast_to diag diag_embed diagonal diff expand expand_as flatten flip index index_select
linalg_diagonal mT movedim moveaxis narrow numpy_T permute ravel repeat reshape reshape_as roll
rot90 select slice squeeze swapaxes t take_along_dim tile transpose tril triu unflatten unfold
unsqueeze view view_as
cumsum mean sum trace
chunk split split_with_sizes tensor_split unbind
_to_copy to type_as
"""

# Their imaginary part is 0, unless a complex number is given.
_FACTORIES = """
empty empty_like eye full full_like new_empty new_full new_ones new_zeros ones ones_like zeros
zeros_like
"""
_BILINEAR = "bmm dot ger kron linalg_matmul matmul mm mul multiply mv outer"

PLANEWISE, FACTORIES, BILINEAR = (
    frozenset(names.split()) for names in (_PLANEWISE, _FACTORIES, _BILINEAR)
)


def plane_by_plane(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A function of PyTorch's, applied to the real and to the imaginary parts."""
    found = [target(*plane(args, k), **plane(kwargs, k)) for k in (0, 1)]
    if isinstance(found[0], torch.Tensor):
        return Planes(*found)
    return tuple(Planes(re, im) for re, im in zip(*found, strict=True))


def plane(value: Any, k: int) -> Any:
    """Arguments with plane k of each that is complex."""
    if isinstance(value, tuple | list):
        return type(value)(plane(v, k) for v in value)
    if isinstance(value, dict):
        return {key: plane(v, k) for key, v in value.items()}
    if isinstance(value, torch.dtype) and value.is_complex:
        return value.to_real()
    return parts(value)[k] if is_complex(value) else value


def einsum(equation: str, operands: list[Any], *, path: Any = None) -> Planes:
    """Einstein's sum of one or two operands."""
    if len(operands) > 2:
        raise ValueError("einsum of more than two complex tensors: write it as einsums of two")
    if len(operands) == 1:
        return operands[0].each(lambda x: torch.einsum(equation, x))
    return bilinear(lambda x, y: torch.einsum(equation, x, y), *operands)


def _both(function: Callable[..., Any], tensors: list[Any], dim: int) -> Planes:
    pairs = [x if isinstance(x, Planes) else Planes(x, torch.zeros_like(x)) for x in tensors]
    return Planes(function([x.re for x in pairs], dim), function([x.im for x in pairs], dim))


def where(condition: Any, x: Any, y: Any) -> Planes:
    """x where the condition holds, else y."""
    (a, b), (c, d) = parts(x), parts(y)
    return Planes(torch.where(condition, a, c), torch.where(condition, b, d))


def _multiple(x: Any, alpha: Any) -> Any:
    """alpha x, of a complex or a real x."""
    if alpha == 1:
        return x
    return Planes(*parts(x)) * alpha if is_complex(x) or isinstance(alpha, complex) else x * alpha


def add(x: Any, y: Any, *, alpha: Any = 1) -> Planes:
    """x + alpha y."""
    y = _multiple(y, alpha)
    return x + y if isinstance(x, Planes) else Planes(*parts(y)) + x


def subtract(x: Any, y: Any, *, alpha: Any = 1) -> Planes:
    """x - alpha y."""
    y = _multiple(y, alpha)
    return x - y if isinstance(x, Planes) else -Planes(*parts(y)) + x


def divide(x: Any, y: Any) -> Planes:
    """x / y."""
    if isinstance(x, Planes):
        return x / y
    if isinstance(y, Planes):
        return Planes(torch.ones_like(y.re), torch.zeros_like(y.re)) / y * x
    return bilinear(torch.mul, x, 1 / y)  # a real tensor by a complex number


def power(x: Planes, exponent: Any) -> Planes:
    """x to a small whole power."""
    if not isinstance(exponent, int) or not 1 <= exponent <= 8:
        raise ValueError(f"a complex tensor to the power {exponent}: only 1 to 8 are translated")
    return functools.reduce(Planes.__mul__, [x] * exponent)


def exp(x: Planes) -> Planes:
    """The exponential."""
    return polar(x.re.exp(), x.im)


def polar(size: torch.Tensor, angle: torch.Tensor) -> Planes:
    """From magnitude and angle."""
    return Planes(size * angle.cos(), size * angle.sin())


def angle(x: Planes) -> torch.Tensor:
    """The angle, from -pi to pi."""
    return torch.atan2(x.im, x.re)


def masked_fill(x: Planes, mask: Any, value: Any) -> Planes:
    """x with a number where the mask holds."""
    return where(mask, value, x)


def linear(x: Any, weight: Any, bias: Any = None) -> Planes:
    """x Wᵀ + b."""
    product = bilinear(torch.matmul, x, weight.mT)
    return product if bias is None else product + bias


def vdot(x: Any, y: Any) -> Planes:
    """The sum of conj(x) y."""
    return bilinear(torch.dot, x.conj if isinstance(x, Planes) else x, y)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Planes:
    """The sum of conj(x) y along an axis."""
    product = bilinear(torch.mul, x.conj if isinstance(x, Planes) else x, y)
    return product.each(torch.sum, dim)


RULES: dict[str, Callable[..., Any]] = {
    "complex": lambda re, im: Planes(re, im),
    "polar": polar,
    "view_as_complex": lambda x: Planes(x[..., 0], x[..., 1]),
    "view_as_real": lambda x: torch.stack(torch.broadcast_tensors(x.re, x.im), -1),
    "real": lambda x: x.re,
    "imag": lambda x: x.im,
    "conj": lambda x: x.conj,
    "_conj": lambda x: x.conj,
    "conj_physical": lambda x: x.conj,
    "resolve_conj": lambda x: x,
    "resolve_neg": lambda x: x,
    "adjoint": lambda x: x.mH,
    "mH": lambda x: x.mH,
    "matrix_H": lambda x: x.mH,
    "abs": abs,
    "angle": angle,
    "exp": exp,
    "log": lambda x: Planes(abs(x).log(), angle(x)),
    "sgn": lambda x: x.scaled(abs(x)),
    "isfinite": lambda x: x.re.isfinite() & x.im.isfinite(),
    "isnan": lambda x: x.re.isnan() | x.im.isnan(),
    **{name: functools.partial(bilinear, getattr(torch.ops.aten, name)) for name in BILINEAR},
    "add": add,
    "sub": subtract,
    "subtract": subtract,
    "rsub": lambda x, y, alpha=1: subtract(y, x, alpha=alpha),
    "div": divide,
    "divide": divide,
    "true_divide": divide,
    "reciprocal": lambda x: divide(1, x),
    "square": lambda x: x * x,
    "pow": power,
    "where": where,
    "masked_fill": masked_fill,
    "cat": lambda tensors, dim=0: _both(torch.cat, tensors, dim),
    "concat": lambda tensors, dim=0: _both(torch.cat, tensors, dim),
    "stack": lambda tensors, dim=0: _both(torch.stack, tensors, dim),
    "einsum": einsum,
    "linear": linear,
    "vdot": vdot,
    "linalg_vecdot": vecdot,
    "linalg_multi_dot": lambda factors: functools.reduce(Planes.__matmul__, factors),
}
