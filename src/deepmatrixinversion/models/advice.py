"""The network of `spectral`: from invariants of R to corrections of the minimal residual step.

A minimal residual step is the best for the next residual, not for the one after the last. The
network sees, block after block, how the residual's spectrum is spread, and moves the step's
coefficients off that greedy optimum, towards what ends best. It sees only traces and norms of
powers of R, so it knows neither the order nor the basis: it serves every order, and a transposed,
rotated or permuted matrix gets the same coefficients.

The functions here run on NumPy arrays and torch tensors alike, and the weights are a plain mapping:
torch trains them, inference needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepmatrixinversion.linalg.polynomial import Fit, Space

DEGREES = (3, 3, 3, 3, 7)
"""Degree of each block's step: 19 products, and one for the first residual."""

MOMENTS = 2 * max(DEGREES) - 2
FEATURES = 4 + MOMENTS + max(DEGREES)


def features(powers: list[Any], fit: Fit, space: Space, xp: Any) -> Any:
    """What the network sees of a block, shape (batch, ``FEATURES``).

    log ‖R‖F, log of what the greedy step leaves of it, log n, the mean eigenvalue of R, the moments
    tr(R^(2+k)) / tr(R²), and the step's coefficients over ‖R‖F. Those beyond the block's degree
    are zero. ``powers`` begins with the identity.
    """
    one, R = powers[:2]
    n = space.inner(one, one)
    norm = space.norm(R)
    left = space.norm(fit.remainder) / norm
    zero = 0.0 * norm
    degree = len(fit.basis)
    columns = [
        xp.log(norm),
        xp.log(left + 1e-12),
        zero + xp.log(n),
        space.inner(one, R) / n,
    ]
    for k in range(1, MOMENTS + 1):
        # tr(R^(k+2)) from the two powers nearest to half.
        low = (k + 2) // 2
        high = k + 2 - low
        known = high <= degree
        columns.append(space.inner(powers[low], powers[high]) / (norm * norm) if known else zero)
    columns += [t / norm for t in fit.coefficients] + [zero] * (max(DEGREES) - degree)
    batch = norm.reshape(-1).shape[0]
    return xp.concatenate([c.reshape(batch, 1) for c in columns], 1)


def advise(weights: Mapping[str, Any], block: int, f: Any, hidden: Any, xp: Any) -> tuple[Any, Any]:
    """Corrections (batch, degree) of a block's coefficients, and the hidden state after it.

    They are in units of ‖R'‖F, the residual that the uncorrected step leaves.
    """
    z = xp.concatenate([f, hidden], 1) @ weights[f"gate.{block}.weight"].T
    z = z + weights[f"gate.{block}.bias"]
    half = z.shape[1] // 2
    gate, value = z[:, :half], z[:, half:]
    # SiLU(gate) value, by the tanh that neither overflows nor loses its gradient.
    z = gate * (0.5 + 0.5 * xp.tanh(0.5 * gate)) * value
    z = z @ weights[f"mix.{block}.weight"].T + weights[f"mix.{block}.bias"]
    hidden = hidden + xp.tanh(z)
    out = hidden @ weights[f"out.{block}.weight"].T + weights[f"out.{block}.bias"]
    return out, hidden
