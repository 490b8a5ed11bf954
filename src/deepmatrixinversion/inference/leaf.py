"""A network as the inverter sees it: scaled matrices in, guesses out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.inference.session import DEFAULT_BATCH, Session
from deepmatrixinversion.linalg.compiled import GIVEN
from deepmatrixinversion.linalg.greedy import improved
from deepmatrixinversion.linalg.scaling import times_power
from deepmatrixinversion.models.config import ANY_ORDER, IMPORTED
from deepmatrixinversion.models.directory import ModelDirectory, read_weights
from deepmatrixinversion.models.zoo import bundled_folder
from deepmatrixinversion.prior.driver import prior_guess
from deepmatrixinversion.prior.store import from_tensors
from deepmatrixinversion.spectral.compiled import guess

MOST_PRODUCTS = 60
"""What a spectral guess may cost before Schur complements or elimination, whatever the engine falls
back on, do no worse."""


BUDGET = "max_products is a number of at least 0, for spectral and prior models alone"


class Leaf(Protocol):
    """Guesses for matrices of Frobenius norm near one.

    Attributes
    ----------
    compiled : {"network", "guess", None}
        Whether the compiled kernel has this network built in, or does the rest after it.
    """

    compiled: str | None

    def __call__(self, S: NDArray) -> NDArray[np.float64]:
        """Unchecked guesses for (k, m, m) matrices."""
        ...

    def within(self, S: NDArray, max_products: int) -> NDArray[np.float64]:
        """Guesses that cost so many matrix products each; ``ValueError`` where that is fixed."""
        ...


class GraphLeaf:
    """A network of one order: its graph, in onnxruntime.

    The bundled ``feedback`` networks are built into the kernel as well: untrained up to order 5, as
    they are here, and at 6 to 8 but for corrections in the third decimal.
    """

    def __init__(self, model: ModelDirectory, batch: int = DEFAULT_BATCH) -> None:
        self.session = Session(model)
        self.batch = batch
        bundled = model.path.parent == bundled_folder()
        known = bundled and model.config.net.net == "feedback"
        self.compiled: str | None = "network" if known else GIVEN

    def __call__(self, S: NDArray) -> NDArray[np.float64]:
        """Guesses in float32."""
        return self.session(S, self.batch).astype(np.float64)

    def within(self, S: NDArray, max_products: int) -> NDArray[np.float64]:
        """Refused: the graph's products are what they are."""
        raise ValueError(BUDGET)


class ImportedLeaf(GraphLeaf):
    """A network made elsewhere, which saw matrices with entries within a range, and no others.

    Each matrix is multiplied by the power of two that brings its largest entry between half the
    range's end and that end, and so seen as it is where it has one there.
    """

    def __init__(self, model: ModelDirectory, batch: int = DEFAULT_BATCH) -> None:
        super().__init__(model, batch)
        self.reach = max(abs(model.config.data.rmin), abs(model.config.data.rmax))

    def __call__(self, S: NDArray) -> NDArray[np.float64]:
        """Guesses in float32."""
        part, exponent = np.frexp(np.abs(S).max(axis=(1, 2), initial=0.0) / self.reach)
        exponent = -(exponent - (part == 0.5))[:, None, None]
        return times_power(super().__call__(times_power(S, exponent)), exponent)


class SpectralLeaf:
    """The network that takes any order."""

    compiled: str | None = GIVEN

    def __init__(self, model: ModelDirectory) -> None:
        self.weights = read_weights(model, 1)

    def __call__(self, S: NDArray) -> NDArray[np.float64]:
        """Guesses whose residuals are predicted to be below 1e-3."""
        return guess(self.weights, S, max_products=MOST_PRODUCTS).X

    def within(self, S: NDArray, max_products: int) -> NDArray[np.float64]:
        """All products spent, unless nothing is gained any more."""
        _check_budget(max_products)
        return guess(self.weights, S, max_products=max_products, tol=0.0).X


class PriorLeaf:
    """What was learned of somebody's own matrices, in NumPy."""

    compiled: str | None = GIVEN

    def __init__(self, model: ModelDirectory) -> None:
        self.prior = from_tensors(read_weights(model, 1), model.config.net.nlayers)

    def __call__(self, S: NDArray) -> NDArray[np.float64]:
        """Guesses whose residuals are predicted to be below 1e-3."""
        return prior_guess(self.prior, S, max_products=MOST_PRODUCTS).X

    def within(self, S: NDArray, max_products: int) -> NDArray[np.float64]:
        """All products spent, unless nothing is gained any more."""
        _check_budget(max_products)
        return prior_guess(self.prior, S, max_products=max_products, tol=0.0).X


def from_start(S: NDArray, X: NDArray, max_products: int | None = None) -> NDArray[np.float64]:
    """Given approximate inverses after minimal residual steps, as a guess is without a start."""
    if max_products is None:
        return improved(S, X).X
    _check_budget(max_products)
    return improved(S, X, max_products=max_products, tol=0.0).X if max_products else X


def _check_budget(max_products: int) -> None:
    if max_products < 0:
        raise ValueError(BUDGET)


def leaf_of(model: ModelDirectory, **options: Any) -> Leaf:
    """The leaf of a model directory; ``batch`` is for graphs."""
    if model.config.net.net == "prior":
        return PriorLeaf(model)
    if model.config.net.net == IMPORTED:
        return ImportedLeaf(model, **options)
    if model.config.net.msize == ANY_ORDER:
        return SpectralLeaf(model)
    return GraphLeaf(model, **options)
