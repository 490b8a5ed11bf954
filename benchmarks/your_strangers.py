"""Priors where they do not belong: other families' matrices, and an origin that moves."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepmatrixinversion.linalg.greedy import norm
from deepmatrixinversion.prior.costs import SCHEDULES, charged
from deepmatrixinversion.prior.driver import from_nothing, prior_guess
from deepmatrixinversion.prior.proposal import propose
from page import table
from your_cases import Case, prior_of
from your_families import kernel_on_a_grid

STRANGERS = 20
"""Matrices of each other family that a prior is tried on."""


def foreign(cases: list[Case]) -> str:
    """What each prior costs on all other families of its order, beside what they cost without."""
    heads = ["prior of", "n", "start", "foreign matrices", "taken for its own"]
    heads += ["mean, products more", "largest", "lost"]
    rows = []
    pairs = dearer = all_lost = 0
    for n in sorted({case.n for case in cases}):
        same = [case for case in cases if case.n == n]
        S = np.concatenate([case.test[:STRANGERS] for case in same])
        home = np.concatenate([np.full(len(c.test[:STRANGERS]), k) for k, c in enumerate(same)])
        without = from_nothing(S)
        for k, case in enumerate(same):
            prior = prior_of(case.inverter)
            other = home != k
            if not prior.guard or not other.any():
                continue
            guess = prior_guess(prior, S[other])
            more = charged(S[other], guess) + guess.overhead - without.products[other]
            lost = int(((guess.residual > 1e-3) & (without.residual[other] <= 1e-3)).sum())
            pairs, all_lost = pairs + len(more), all_lost + lost
            dearer += int((more > 1.0).sum())
            own = float(propose(prior, S[other]).familiar(prior).mean())
            cells = [f"{other.sum():,}", f"{100 * own:.1f} %", f"{more.mean():+.2f}"]
            rows.append([case.family.name, n, case.chosen, *cells, f"{more.max():+.1f}", lost])
    summary = (
        f"Of {pairs:,} pairs of a prior and a foreign matrix {dearer:,} cost more than one product "
    )
    return f"{summary}more, and {all_lost} were lost.\n\n{table(heads, rows)}"


def drift(case: Case, count: int = 150) -> str:
    """The kernel's prior where the origin moves."""
    n, rng = case.n, np.random.default_rng(5)

    def gaussian(D: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * (D / scale) ** 2)

    def rough(D: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.exp(-D / scale)

    changes: dict[str, dict[str, Any]] = {
        "none": {},
        "length scales 0.5 to 1 instead of 0.05 to 0.5": {"scales": (0.5, 1.0)},
        "length scales 0.02 to 0.05": {"scales": (0.02, 0.05)},
        "noise 0.1 to 0.3 instead of 0.001 to 0.1": {"noises": (0.1, 0.3)},
        "exponential kernel instead of Matérn 5/2": {"kernel": rough},
        "Gaussian kernel": {"kernel": gaussian, "noises": (1e-2, 1e-1)},
        "inputs jittered by 1 % of their spacing": {"jitter": 0.01},
        "inputs jittered by 10 %": {"jitter": 0.1},
    }
    prior = prior_of(case.inverter)
    rows = []
    for name, options in changes.items():
        A = kernel_on_a_grid(rng, count, n, **options)
        S = A / norm(A)[:, None, None]
        guess = prior_guess(prior, S)
        own = (charged(S, guess) + guess.overhead).mean()
        without = min(charged(S, from_nothing(S, degrees=d)).mean() for d in SCHEDULES)
        rows.append([name, f"{own:.1f}", f"{without:.1f}"])
    return table(["change", "with the prior", "without"], rows)
