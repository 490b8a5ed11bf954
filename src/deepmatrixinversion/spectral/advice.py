"""The network of `spectral`: from invariants of R to the polynomials that contract it.

A minimal residual step is the best for the next residual, not for the one after the last, and with
all powers of R to choose from it costs a product a degree. The network does better on both. In a
block of ``BLOCK_PRODUCTS`` it sees how the residual's spectrum is spread, as R and R² show it, and
says whether a contracting polynomial pays or the last, open-ended step had better begin. If it
pays, the network chooses a quadratic Q and two factors around S = R² Q: their product P takes the
block to degree nine where five products of powers reach five. Then it moves the least-squares
coefficients off their greedy optimum, towards what ends best.

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
"""Contracting blocks that training unrolls, and that a graph takes. All share their weights."""

BLOCK_PRODUCTS = 5
"""R², S = R² Q, P = U V + ..., R P and X p(R)."""

SEEN = (15, 19)
"""Features of a block's two consultations: for its polynomial, and for the step."""

ANSWERS = (11, 3)
"""What they answer: ten coefficients of P, and whether to open; three corrections."""

LEAST = 1e-12
"""Least ratio of residuals whose logarithm is taken."""


LARGEST = 1e6
"""Largest feature."""


class Look(NamedTuple):
    """What a block knows: the polynomials M (the first is I) with images, R², the fit by these."""

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


def features(seen: Look, space: Space, xp: Any) -> list[Any]:
    """What R and R² show of a residual: invariants, from which its course can be guessed."""
    (one, R), square, fit = seen
    n, norm = space.inner(one, one), space.norm(R)
    left = space.norm(fit.remainder)
    directions = [fit.remainder / left, *fit.basis]
    return [
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


def choose(
    weights: Mapping[str, Any], seen: Look, hidden: Any, space: Space, xp: Any
) -> tuple[list[Any], Any, Any]:
    """Coefficients of the block's P, whether to open instead (above zero), hidden state."""
    out, hidden = advise(weights, 0, features(seen, space, xp), hidden, xp)
    norm = space.norm(seen.known[1])
    return [_like(out, i, norm) for i in range(10)], out[:, 10], hidden


def lift(choice: list[Any], seen: Look, space: Space, eps: float, noise: Any = 0.0) -> Look:
    """Raise a block's degree from two to nine, for three products.

    S = R² Q and P = U V + ... with U, V near S: of degree four and eight. Q is the degree-two
    remainder where the network says nothing, and all that is added combines it and the two
    images, which are orthogonal.
    """
    (one, R), square, fit = seen
    root = space.inner(one, one) ** 0.5
    rest = fit.remainder / space.norm(fit.remainder)
    first, second = fit.basis
    a, b, c, d, e, f, g, h, i, j = choice
    S = space.product(square, (1 + a) * rest + b * first + c * second)
    S = S / space.norm(S)
    U = S + d * first + e * second
    V = root * (S + f * first + g * second) + h * one
    P = space.product(U, V) + i * S + j * rest
    P = P / space.norm(P)
    fit = extend(fit, R, [P, space.product(R, P)], space, eps, noise)
    return Look([one, R, P], square, fit)


def foresee(
    weights: Mapping[str, Any], seen: Look, before: Any, hidden: Any, space: Space, xp: Any
) -> tuple[list[Any], Any]:
    """Corrections of a block's three coefficients, and the hidden state after.

    They are in units of the residual that the uncorrected step leaves; ``before`` is the residual
    that the step of degree two left.
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
    out, hidden = advise(weights, 1, columns, hidden, xp)
    return [_like(out, i, norm) for i in range(3)], hidden


def advise(
    weights: Mapping[str, Any], layer: int, columns: list[Any], hidden: Any, xp: Any
) -> tuple[Any, Any]:
    """The network's answers at a consultation, (batch, answers), and the hidden state after."""
    f = table(columns, xp)
    if f.dtype != hidden.dtype:  # NumPy's driver consults in single precision
        f = f.astype(hidden.dtype)
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


def table(columns: list[Any], xp: Any) -> Any:
    """Features side by side, (batch, features)."""
    batch = columns[0].reshape(-1).shape[0]
    # What vanishing residuals are divided by makes features of any size.
    return xp.concatenate([c.reshape(batch, 1) for c in columns], 1).clip(-LARGEST, LARGEST)


def _like(out: Any, i: int, norm: Any) -> Any:
    """Column i, to be multiplied by residuals as their norms are."""
    return out[:, i].reshape(norm.shape)
