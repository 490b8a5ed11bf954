"""Guesses by the network for every order, through the compiled kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.kernel.stack import threads_for
from deepmatrixinversion.kernel.state import built, compiled

WIDTH: int = 0 if compiled is None else compiled.WIDTH
"""What layers are padded to whole numbers of."""

LARGEST_GUESS: int = 0 if compiled is None else compiled.LARGEST_GUESS
MOST_UNITS: int = 0 if compiled is None else compiled.MOST_UNITS

PRODUCTS = 20
"""What a guess costs, roughly."""

Array = NDArray[np.float64]


class Starts(NamedTuple):
    """Matrices, and where their iterations start.

    Attributes
    ----------
    S : (k, n, n) array
        of norm near one
    definite : (k,) bool
    factor : (k,) array
        of I, where ``definite``, or of the transpose
    R, square : (k, n, n) arrays
        residuals of these starts, and their squares: these of orders above 2 alone
    gram : (k, 3, 3) array
        inner products of I, R and R²
    """

    S: Array
    definite: NDArray[np.bool_]
    factor: Array
    R: Array
    square: Array
    gram: Array


class Packed(NamedTuple):
    """A network's weights as the kernel reads them, and its units, padded."""

    units: int
    weights: NDArray[np.float32]


def spectral_start(S: Array, definite: NDArray[np.bool_], threads: int | None = None) -> Starts:
    """Starts of best scale: one product for the residual, one for its square."""
    begun = Starts(
        S,
        definite,
        np.empty(len(S)),
        np.empty(S.shape),
        np.empty(S.shape),
        np.empty((len(S), 3, 3)),
    )
    threads = threads_for(2 * S.size * S.shape[-1], threads)
    built().spectral_start(S, definite.view(np.uint8), *begun[2:], threads)
    return begun


def spectral_descend(
    begun: Starts,
    ways: NDArray[np.intp],
    network: Packed,
    most: int,
    enough: float,
    threads: int | None = None,
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Guesses (k, n, n), predicted residuals (k,) and products spent (k,).

    Parameters
    ----------
    begun : Starts
    ways : (k,) int
        of ``spectral.plan``: the network's, greedy steps', or the open-ended step's
    network : Packed
    most : int
        products that each matrix may cost
    enough : float
        residual at which a matrix is done

    Notes
    -----
    No result depends on its neighbours in the stack, or on the number of threads.
    """
    S = begun.S
    X, residual = np.empty(S.shape), np.empty(len(S))
    products = np.empty(len(S), dtype=np.int64)
    threads = threads_for(PRODUCTS * S.size * S.shape[-1], threads)
    built().spectral_descend(
        S,
        begun.definite.view(np.uint8),
        *begun[2:],
        ways.astype(np.uint8),
        network.weights,
        network.units,
        most,
        enough,
        X,
        residual,
        products,
        threads,
    )
    return X, residual, products


def packed(weights: Mapping[str, NDArray]) -> Packed:
    """The weights for the kernel: transposed, padded with zeros, one after the other."""
    units = weights["mix.0.bias"].shape[0]
    wide = -(-units // WIDTH) * WIDTH
    parts = []
    for layer in range(2):
        names = (f"{name}.{layer}" for name in ("gate", "mix", "out"))
        gate, mix, out = ((weights[f"{k}.weight"].T, weights[f"{k}.bias"]) for k in names)
        rows = len(gate[0]) - units + wide
        halves = [(gate[0][:, part], gate[1][part]) for part in (slice(units), slice(units, None))]
        parts.append(np.hstack([_padded(*half, rows, wide) for half in halves]))
        parts += [_padded(*mix, wide, wide), _padded(*out, wide, WIDTH)]
    return Packed(wide, np.concatenate([part.ravel() for part in parts]))


def _padded(weight: NDArray, bias: NDArray, rows: int, columns: int) -> NDArray[np.float32]:
    """So many rows of weights, and the bias below."""
    padded = np.zeros((rows + 1, columns), dtype=np.float32)
    padded[: weight.shape[0], : weight.shape[1]] = weight
    padded[rows, : bias.shape[0]] = bias
    return padded
