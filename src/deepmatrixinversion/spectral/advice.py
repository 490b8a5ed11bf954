"""The network of `spectral`: from invariants of R to the polynomials that contract it.

A minimal residual step is the best for the next residual, not for the one after the last, and with
all powers of R to choose from it costs a product a degree. The network does better on both. In a
block of ``BLOCK_PRODUCTS`` it sees how the residual's spectrum is spread, as R and R² show it, and
chooses a quadratic Q(R): the polynomial P = R² Q takes the block to degree five where four products
of powers reach four. Then it moves the least-squares coefficients off their greedy optimum, towards
what ends best, and says whether to go on like that or to let the last, open-ended step begin.

It sees only traces of products of matrices that are there, so it knows neither the order nor the
basis: it serves every order, and a transposed, rotated or permuted matrix gets the same
coefficients.

The functions here run on NumPy arrays and torch tensors alike, and the weights are a plain mapping:
torch trains them, inference needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from deepmatrixinversion.linalg.polynomial import Fit, Space, begin, extend

BLOCKS = 4
"""Contracting blocks at most, before the open-ended step."""

BLOCK_PRODUCTS = 4
"""R², P = R² Q, R P and X p(R)."""

SEEN = (15, 19)
"""Features of a block's two consultations: for the quadratic, and for the step."""

ANSWERS = (3, 4)
"""What they answer: three coefficients of Q; three corrections, and when to open."""

LEAST = 1e-12
"""Least ratio of residuals whose logarithm is taken."""


class Look(NamedTuple):
    """What a block knows: the polynomials M (the first is I) with images, the fit by these."""

    known: list[Any]
    square: Any
    fit: Fit


def look(one: Any, R: Any, space: Space, eps: float, noise: Any = 0.0) -> Look:
    """The fit of degree two, for one product."""
    square = space.product(R, R)
    fit = begin(R)
    for powers in ([one, R], [R, square]):
        fit = extend(fit, R, powers, space, eps, noise)
    return Look([one, R], square, fit)


def lift(
    weights: Mapping[str, Any],
    block: int,
    seen: Look,
    hidden: Any,
    space: Space,
    xp: Any,
    eps: float,
    noise: Any = 0.0,
) -> tuple[Look, Any]:
    """Raise a block's degree from two to five, for two products; and the hidden state after it.

    Q is a combination of the degree-two remainder and the two images, which are orthogonal: the
    remainder itself where the network says nothing.
    """
    (one, R), square, fit = seen
    n, norm = space.inner(one, one), space.norm(R)
    left = space.norm(fit.remainder)
    rest = fit.remainder / left
    directions = [rest, *fit.basis]
    columns = [
        xp.log(norm),
        xp.log((left / norm).clip(LEAST)),
        xp.log((1 - (fit.coefficients[0] / norm) ** 2).clip(LEAST)),
        xp.log(n) + 0.0 * norm,
        space.inner(one, R) / n,
        space.inner(square, R) / norm**2,
        space.inner(square, square) / norm**2,
        *(space.inner(one, q) / n**0.5 for q in directions),
        *(space.inner(square, q) / norm**2 for q in directions),
        *(t / norm for t in fit.coefficients),
    ]
    out, hidden = advise(weights, 2 * block, columns, hidden, xp)
    Q = sum(_like(out, i, R) * q for i, q in enumerate(directions)) + rest
    P = space.product(square, Q)
    P = P / space.norm(P)
    fit = extend(fit, R, [P, space.product(R, P)], space, eps, noise)
    return Look([one, R, P], square, fit), hidden


def foresee(
    weights: Mapping[str, Any],
    block: int,
    seen: Look,
    before: Any,
    hidden: Any,
    space: Space,
    xp: Any,
) -> tuple[list[Any], Any, Any]:
    """Corrections of a block's three coefficients, whether to open (above zero), hidden state.

    The corrections are in units of the residual that the uncorrected step leaves; ``before`` is
    the residual that the step of degree two left.
    """
    (one, R, P), square, fit = seen
    n, norm = space.inner(one, one), space.norm(R)
    left = space.norm(fit.remainder)
    rest = fit.remainder / left
    columns = [
        xp.log(left),
        xp.log((left / before).clip(LEAST)),
        *(t / norm for t in fit.coefficients),
        *(space.inner(one, q) / n**0.5 for q in (rest, P, *fit.basis)),
        *(space.inner(square, q) / norm**2 for q in (rest, P, *fit.basis)),
        *(space.inner(P, q) for q in (rest, *fit.basis)),
    ]
    out, hidden = advise(weights, 2 * block + 1, columns, hidden, xp)
    return [_like(out, i, R) for i in range(3)], out[:, 3], hidden


def advise(
    weights: Mapping[str, Any], layer: int, columns: list[Any], hidden: Any, xp: Any
) -> tuple[Any, Any]:
    """The network's answers (batch, ``ANSWERS``) at a consultation, and the hidden state after."""
    batch = columns[0].reshape(-1).shape[0]
    f = xp.concatenate([c.reshape(batch, 1) for c in columns], 1)
    z = xp.concatenate([f, hidden], 1) @ weights[f"gate.{layer}.weight"].T
    z = z + weights[f"gate.{layer}.bias"]
    half = z.shape[1] // 2
    gate, value = z[:, :half], z[:, half:]
    # SiLU(gate) value, by the tanh that neither overflows nor loses its gradient.
    z = gate * (0.5 + 0.5 * xp.tanh(0.5 * gate)) * value
    z = z @ weights[f"mix.{layer}.weight"].T + weights[f"mix.{layer}.bias"]
    hidden = hidden + xp.tanh(z)
    out = hidden @ weights[f"out.{layer}.weight"].T + weights[f"out.{layer}.bias"]
    return out, hidden


def _like(out: Any, i: int, R: Any) -> Any:
    """Column i, to be multiplied by residuals."""
    return out[:, i].reshape(-1, *[1] * (R.ndim - 1))
