"""Inverses and pseudo-inverses of any order as unrolled iterations in ONNX operators.

The same iterations as in ``nets.iterative`` and ``nets.pseudoinverse``, where they are explained;
here each call adds nodes.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import torch

from deepmatrixinversion.export.algebra import Algebra, Value, op
from deepmatrixinversion.export.loop import loop
from deepmatrixinversion.nets.iterative import DEGREE
from deepmatrixinversion.nets.pseudoinverse import PROJECTION, purifications, scaled_steps


def blocks_for(order: int, dtype: np.dtype) -> int:
    """Blocks that reach rounding level for most matrices of this order: 5 + log2 n, 2 in float64.

    Three more than entries of no structure need (``nets.iterative.blocks_for``), since the
    covariances and kernels of users' models spread their spectra over several decades.
    """
    return 5 + math.ceil(math.log2(max(order, 1))) + 2 * (dtype == np.float64)


def _coefficients(a: Algebra, target: Value, images: list[Value]) -> list[Value]:
    """The c that minimise ‖target - Σ c[i] images[i]‖F, by modified Gram-Schmidt."""
    floor = a.constant(16 * a.order * a.eps**2)
    basis: list[tuple[Value, Value]] = []
    overlaps: list[list[Value]] = []
    c: list[Value] = []
    for W in images:
        overlap = []
        for V, size in basis:
            b = op.Div(a.inner(V, W), size)
            W = op.Sub(W, op.Mul(b, V))
            overlap.append(b)
        # A maximum, not a sum: the exporter's optimizer takes x + 1e-12 for x.
        size = op.Max(a.inner(W, W), floor)
        t = op.Div(a.inner(target, W), size)
        target = op.Sub(target, op.Mul(t, W))
        basis.append((W, size))
        overlaps.append(overlap)
        c.append(t)
    for i in reversed(range(len(c))):
        for j in range(i + 1, len(c)):
            c[i] = op.Sub(c[i], op.Mul(overlaps[j][i], c[j]))
    return c


def inverse(a: Algebra, A: Value, rank: int, blocks: int, loop_name: str = "") -> Value:
    """Approximate inverses by ``blocks`` minimal residual steps: 1 + 5 ``blocks`` products.

    Rows and columns are equilibrated by powers of two first. Where A is singular the result is
    finite, with a residual ‖I - A X‖F of about 1 or more. With a ``loop_name`` the steps are a
    loop, see `_loop`.
    """
    S, r, c = a.equilibrated(A)
    size = op.Max(a.norm(S), a.constant(np.finfo(a.dtype).tiny))  # finite at S = 0
    S = op.Div(S, size)
    X = a.transpose(S, rank)
    R = op.Sub(a.identity, op.MatMul(S, X))
    norm = a.norm(R)
    if loop_name:
        X = _loop(a, S, X, R, norm, blocks, loop_name)
    else:
        for _ in range(blocks):
            X, R, norm = _block(a, S, X, R, norm)
    return a.unequilibrated(op.Div(X, size), r, c, rank)


def _loop(a: Algebra, S: Value, X: Value, R: Value, norm: Value, blocks: int, name: str) -> Value:
    """Minimal residual steps until no matrix of the stack gains by another, or ``blocks``.

    A matrix whose residual a step did not shrink stays as it is in all further steps, which are the
    same step; nor is there anything left to gain at n eps, or where a residual below 0.1, whose
    fourth power the next would be, has not even been halved: that is rounding.
    """

    def step(X: Value, R: Value, norm: Value) -> tuple[Value, list[Value]]:
        next_X, next_R, next_norm = _block(a, S, X, R, norm)
        shrunk = op.Less(next_norm, norm)
        worth = op.Greater(next_norm, a.constant(a.order * a.eps))
        slow = op.Greater(next_norm, a.constant(0.1))
        halved = op.Less(next_norm, a.scaled(0.5, norm))
        open_ = op.And(op.And(shrunk, worth), op.Or(slow, halved))
        # ReduceMax of booleans is newer than the opsets served here.
        count = op.ReduceSum(op.Cast(open_, to=ir.DataType.FLOAT), keepdims=0)
        more = op.Greater(count, op.Constant(value=ir.tensor(np.float32(0))))
        return more, [next_X, next_R, next_norm]

    return loop(step, [X, R, norm], blocks, name)[0]


def _block(a: Algebra, S: Value, X: Value, R: Value, norm: Value) -> list[Value]:
    """One minimal residual step X <- X (c0 I + c1 R + c2 R² + c3 R³), where it shrinks ‖R‖F."""
    # Powers of R/‖R‖F, so that nothing underflows as R vanishes.
    U = [op.Div(R, op.Max(norm, a.constant(np.finfo(a.dtype).tiny)))]
    for k in range(2, DEGREE + 2):
        U.append(op.MatMul(U[k // 2 - 1], U[k - k // 2 - 1]))
    powers = [a.constant(1), norm]
    for _ in range(DEGREE - 1):
        powers.append(op.Mul(powers[-1], norm))
    images = [op.Sub(U[k], op.Mul(norm, U[k + 1])) for k in range(DEGREE)]
    images.append(op.Sub(a.identity, R))
    remainder = op.Mul(powers[DEGREE], U[DEGREE])
    c = _coefficients(a, remainder, images)
    terms = [op.Mul(c[DEGREE], a.identity)]
    terms += [op.Mul(op.Add(powers[k], c[k]), U[k]) for k in range(DEGREE)]
    step = op.MatMul(X, op.Mul(norm, a.total(terms)))
    return a.better(S, X, R, norm, op.Add(X, step))


def smallest_rtol(dtype: np.dtype) -> float:
    """The smallest ``rtol`` that rounding allows `pseudo_inverse`: 8 √(2 eps).

    √2 more than in ``nets.pseudoinverse``, where it is relative to ‖A‖F and not to ‖A‖2.
    """
    return 8 * math.sqrt(2 * np.finfo(dtype).eps)


def pseudo_inverse(a: Algebra, A: Value, rank: int, rtol: float) -> Value:
    """Moore-Penrose inverses of matrices no taller than wide, a.order their number of rows.

    Singular values below ``rtol`` times (an upper bound within n^(1/16) of) the largest count as
    zero; from 0.2 to 1 times that, an answer is partly one and partly the other.
    """
    c = a.floor_power(a.size(A, (-2, -1)))
    S = op.Div(A, c)
    gram = op.MatMul(S, a.transpose(S, rank))
    # ‖G‖2 <= ‖G^8‖F^(1/8) <= n^(1/16) ‖G‖2, each power of a G of norm 1.
    root = a.constant(1)
    exponent = 1.0
    for _ in range(4):
        size = a.norm(gram)
        size = op.Where(op.Greater(size, a.constant(0)), size, a.constant(1))
        root = op.Mul(root, op.Pow(size, a.constant(exponent)))
        gram = op.Div(gram, size)
        gram = op.MatMul(gram, gram)
        exponent /= 2
    # Singular values that lie near 1 as well as near rtol are the hardest: √2 keeps off from 1.
    sigma = op.Sqrt(a.scaled(2, root))
    S = op.Div(S, sigma)
    X = a.transpose(S, rank)
    for shift, factor in scaled_steps(rtol / math.sqrt(2)):
        P = op.Sub(a.scaled(shift, a.identity), a.scaled(factor, op.MatMul(S, X)))
        X = op.MatMul(X, P)
    for step in range(purifications(torch.float64 if a.dtype == np.float64 else torch.float32)):
        if step == PROJECTION:
            left = op.MatMul(a.transpose(X, rank), X)
            X = op.MatMul(left, a.transpose(op.MatMul(S, X), rank))
            X = op.MatMul(a.transpose(S, rank), X)
        P = op.MatMul(S, X)
        X = op.MatMul(X, op.Sub(a.scaled(3, P), a.scaled(2, op.MatMul(P, P))))
    return op.Div(op.Div(X, sigma), c)
