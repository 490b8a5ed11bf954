"""The families part of the accuracy report: where matrices come from, and who needs how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import schedules
from accuracy_data import HELD_OUT, Family, residuals
from deepmatrixinversion import Inverter
from deepmatrixinversion.linalg.greedy import Guess
from deepmatrixinversion.models.directory import read_weights
from deepmatrixinversion.prior.driver import from_nothing
from deepmatrixinversion.spectral.compiled import guess as spectral_guess
from deepmatrixinversion.spectral.plan import TRACES, decided
from deepmatrixinversion.spectral.traces import ORDERS
from page import records
from your_baselines import NEVER
from your_families import FAMILIES

ENOUGH = 1e-3
BUDGET = 20
COUNTS = {8: 400, 16: 400, 32: 300, 64: 150}


class Row(NamedTuple):
    """Mean products to 1e-3 of each method, and the shares (%) that are not there after 20."""

    family: str
    n: int
    start: str
    spectral: float
    traces: float
    greedy: float
    oracle: float
    same_start: float
    newton: float
    not_there: float
    oracle_not_there: float


def families() -> dict[str, Family]:
    """Realistic ones and those of other structure; training sees none of them."""
    return {f.name: f.draw for f in FAMILIES} | HELD_OUT


def spectrum(A: np.ndarray, definite: bool) -> np.ndarray:
    """Eigenvalues of I - A X at X = A^T/‖A‖F², or I/‖A‖F."""
    if definite:
        eigenvalues = np.linalg.eigvalsh(A)
        return 1.0 - eigenvalues / np.linalg.norm(eigenvalues, axis=1, keepdims=True)
    return schedules.first_residual(np.maximum(np.linalg.svd(A, compute_uv=False), 1e-300))


def products(states: Iterator[schedules.State], free: int = 0) -> np.ndarray:
    """Those after which each residual is at most 1e-3: of the first state where it is."""
    costs = None
    for state in states:
        there = np.linalg.norm(state.eigenvalues, axis=1) <= ENOUGH
        costs = np.full(len(there), float(NEVER)) if costs is None else costs
        costs = np.where((costs == NEVER) & there, state.products - free, costs)
        if there.all() or state.products >= NEVER:
            break
    assert costs is not None
    return np.maximum(costs, 0)


def spent(S: np.ndarray, found: Guess) -> np.ndarray:
    """Products of a driver's guesses, by what they really leave."""
    there = residuals(S, found.X) <= ENOUGH * (1 + 1e-3)
    return np.where(there, found.products, float(NEVER))


def oracle(r: np.ndarray) -> Iterator[schedules.State]:
    """Chebyshev polynomials of each number of products, on each matrix's own interval."""
    for spent, degrees in schedules.best_compositions(NEVER).items():
        *_, state = schedules.chebyshev(r, degrees)
        yield schedules.State(spent, state.eigenvalues)


def measured(name: str, A: np.ndarray) -> Row:
    """One family at one order."""
    n = A.shape[-1]
    weights = read_weights(Inverter.from_pretrained("spectral").model, 1)
    S = A / np.linalg.norm(A, axis=(1, 2), keepdims=True)
    gap = np.abs(S - S.swapaxes(1, 2)).max()
    definite = bool(gap < 1e-12 and (np.linalg.eigvalsh(S)[:, 0] > 0).all())
    within = residuals(S, spectral_guess(weights, S, max_products=BUDGET, tol=0.0).X)
    transposed, own = spectrum(S, False), spectrum(S, definite)
    # From the identity neither the first residual nor the first step takes a product.
    free = 2 if definite else 0
    known = products(oracle(transposed))
    return Row(
        name,
        n,
        "I" if definite else "Aᵀ",
        spent(S, spectral_guess(weights, S, max_products=NEVER)).mean(),
        _by_traces(weights, S),
        spent(S, from_nothing(S, max_products=NEVER)).mean(),
        known.mean(),
        products(oracle(own), free).mean(),
        products(schedules.scaled_newton(transposed)).mean(),
        100 * float(np.mean(within > ENOUGH)),
        100 * float(np.mean(known > BUDGET)),
    )


def _by_traces(weights: dict[str, np.ndarray], S: np.ndarray) -> float:
    """What `spectral` takes where all matrices go by traces at once: nothing is learned there."""
    if S.shape[-1] not in ORDERS:
        return math.nan
    found = spectral_guess(decided(weights, TRACES), S, max_products=NEVER)
    return float(spent(S, found).mean())


def rows(seed: int, few: int = 1) -> tuple[list[Row], dict[str, str]]:
    """All families and orders, and the families whose package is missing."""
    found, missing = [], {}
    for index, (name, draw) in enumerate(families().items()):
        for n, count in COUNTS.items():
            try:
                A = draw(np.random.default_rng([seed, 98, index, n]), max(10, count // few), n)
            except ImportError as error:
                missing[name] = error.name or "?"
                continue
            found.append(measured(name, A))
            print(found[-1], flush=True)
    return found, missing


def table(found: list[Row]) -> str:
    """The rows as a page's table."""
    return records(
        {
            "family": r.family,
            "start": r.start,
            "n": r.n,
            "spectral": f"{r.spectral:.1f}",
            "traces alone": f"{r.traces:.1f}" if r.n in ORDERS else "",
            "greedy": f"{r.greedy:.1f}",
            "oracle Chebyshev": f"{r.oracle:.1f}",
            "the same from spectral's start": f"{r.same_start:.1f}",
            "scaled Newton": f"{r.newton:.1f}",
            "spectral, not there after 20": f"{r.not_there:.1f} %",
            "oracle": f"{r.oracle_not_there:.1f} %",
        }
        for r in found
    )


def summary(found: list[Row]) -> list[str]:
    """In how many cases `spectral` is not behind, and where it is by how much."""
    lines = []
    for what, other in (
        ("the greedy iteration", "greedy"),
        ("traces alone, to order 28", "traces"),
        ("the oracle from Aᵀ", "oracle"),
        ("the oracle from its own start", "same_start"),
    ):
        cases = [r for r in found if not math.isnan(getattr(r, other))]
        # A tenth of a product is what these counts of matrices tell apart.
        behind = [r for r in cases if r.spectral > getattr(r, other) + 0.1]
        gain = np.mean([r.spectral for r in cases]) / np.mean([getattr(r, other) for r in cases])
        where = "; ".join(
            f"{r.family} {r.n} (+{r.spectral - getattr(r, other):.1f})" for r in behind
        )
        lines.append(
            f"- Against {what}: not behind in {len(cases) - len(behind)} of {len(cases)} cases, "
            f"{100 * (1 - gain):.0f} % fewer products on average."
            + (f" Behind on: {where}." if behind else "")
        )
    return lines
