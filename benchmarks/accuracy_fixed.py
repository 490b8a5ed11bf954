"""The fixed learned schedule of the accuracy report: coefficients learned, the same for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import schedules
from accuracy_data import normal

DEGREES = (5, 5, 5, 5, 5)  # 20 products, as the oracle's best composition
STEPS, BATCH = 1_500, 256


def learned(n: int, seed: int, spectra: int) -> list[np.ndarray]:
    """Coefficients of five steps of degree 5, trained on normal matrices of order n alone.

    They minimise E log(‖R‖F + 1e-6), as `spectral` does, from the best of some composed Chebyshev
    polynomials: those of the intervals that 1 to 90 % of the matrices leave.
    """
    A = normal(np.random.default_rng([seed, 8, n]), spectra, n)
    r = schedules.first_residual(np.linalg.svd(A, compute_uv=False))
    pool = torch.from_numpy(r)
    lows = np.quantile(1 - r.max(axis=1), [0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9])
    starts = [schedules.chebyshev_steps(low, DEGREES) for low in lows]
    start = min(starts, key=lambda steps: float(_loss(pool, steps)))
    steps = [torch.tensor(c, requires_grad=True) for c in start]
    optimizer = torch.optim.Adam(steps, lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    generator = torch.Generator().manual_seed(seed)
    best, least = [c.detach().numpy().copy() for c in steps], np.inf
    for step in range(STEPS):
        if step % 100 == 0 or step == STEPS - 1:
            with torch.no_grad():
                value = _loss(pool, steps)
            if value < least:
                best, least = [c.detach().numpy().copy() for c in steps], float(value)
        batch = pool[torch.randint(len(pool), (BATCH,), generator=generator)]
        loss = _loss(batch, steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(steps, 1.0)
        optimizer.step()
        schedule.step()
    return best


def _loss(r: torch.Tensor, steps: list[Any]) -> torch.Tensor:
    *_, (_, last) = schedules.fixed(r, steps)
    return torch.log(torch.linalg.vector_norm(last, dim=1).clamp(max=1e30) + 1e-6).mean()
