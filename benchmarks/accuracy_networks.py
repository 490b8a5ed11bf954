"""The feedback part of the accuracy report: every bundled order, published networks, ablations."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import torch
from matplotlib.figure import Figure

from accuracy_data import residuals
from curves import Missed, styles
from deepmatrixinversion import Inverter
from deepmatrixinversion.matrices.spectra import with_condition
from deepmatrixinversion.nets import build
from deepmatrixinversion.nets.weights import load_ensemble
from page import panels, records

ORDERS = range(2, 9)
AIMS = {2: 99.99, 3: 99.99, 4: 99.9, 5: 99.9, 6: 99.9, 7: 99.7, 8: 99.7}


def share(r: np.ndarray, below: float) -> float:
    """Percentage of residuals below a number."""
    return 100 * float(np.mean(r < below))


def bundled(matrices: int, seed: int) -> tuple[str, dict[int, np.ndarray]]:
    """Table of the bundled feedback models, with the same networks untrained beside them."""
    rows, kept = [], {}
    for n in ORDERS:
        inverter = Inverter.from_pretrained(f"feedback-{n}")
        untrained: Any = build(inverter.model.config.net)
        A = np.random.default_rng([seed, n]).uniform(-1, 1, (matrices, n, n))
        regular = np.abs(np.linalg.det(A)) > 0.1
        answers = inverter.guess(A), run(untrained, A)
        kept[n], r0 = r, _ = [residuals(A, X) for X in answers]
        mae, mae0 = (np.abs((X - np.linalg.inv(A))[regular]).mean() for X in answers)
        rows.append(
            {
                "n": n,
                "parameters": f"{sum(p.numel() for p in untrained.parameters()):,}",
                "products": untrained.products,
                "below 1": f"{share(r, 1):.4f} %",
                "aim": f"{AIMS[n]} %",
                "below 1, untrained": f"{share(r0, 1):.4f} %",
                "below 1e-3": f"{share(r, 1e-3):.3f} %",
                "below 1e-3, untrained": f"{share(r0, 1e-3):.3f} %",
                "MAE, \\|det\\| > 0.1": f"{mae:.1e}",
                "MAE, untrained": f"{mae0:.1e}",
            }
        )
        print(rows[-1], flush=True)
    return records(rows), kept


@torch.no_grad()
def run(net: torch.nn.Module, A: np.ndarray) -> np.ndarray:
    """A torch network's raw answers, as float64."""
    parts = torch.from_numpy(A).float().split(10_000)
    return torch.cat([net(part) for part in parts]).double().numpy()


def tolerance(matrices: int, seed: int) -> str:
    """Share of 5x5 matrices over [-10, 10] within 0.5 %, the tightest published tolerance."""
    A = np.random.default_rng([seed, 55]).uniform(-10, 10, (matrices, 5, 5))
    r = residuals(A, Inverter.from_pretrained("feedback-5").guess(A))
    return (
        f"Relative residual within 0.5 % (‖I - AX‖F <= 0.005), n = 5, entries uniform in "
        f"[-10, 10], none left out, {matrices:,} matrices: {share(r, 0.005):.3f} % (aim 99.9 %)."
    )


def low_precision(matrices: int, seed: int) -> tuple[str, Figure]:
    """Products of rounded factors, accumulated in float32, and what Newton-Schulz makes of them."""
    from deepmatrixinversion.linalg.certify import certify
    from deepmatrixinversion.linalg.newton import newton_schulz
    from deepmatrixinversion.linalg.stack import Stack
    from deepmatrixinversion.nets import feedback

    rng = np.random.default_rng([seed, 16])
    n = 4
    kappa = 10 ** rng.uniform(0, 6, matrices)
    A = with_condition(rng, n, kappa)
    net = load_ensemble(Inverter.from_pretrained("feedback-4").model)
    full = feedback.product
    figure, (axes,) = panels(7.5, 5)
    rows = []
    formats = {
        "float32": (torch.float32, 2.0**-24),
        "float16": (torch.float16, 2.0**-11),
        "bfloat16": (torch.bfloat16, 2.0**-8),
    }
    edges = np.logspace(0, 6, 25)
    which = np.digitize(kappa, edges) - 1
    missed, style = Missed(axes, int(np.bincount(which).max())), styles(formats)
    for name, (dtype, u) in formats.items():

        def rounded(M, N, dtype=dtype):
            return full(M.to(dtype).float(), N.to(dtype).float())

        # What the network takes for the relative error of a product is rounded, too.
        with mock.patch.multiple(feedback, product=rounded, ROUNDING=u):
            X = run(net, A)
        ratio = residuals(A, X) / (kappa * u)
        usable = kappa * u < 0.1
        refined = newton_schulz(Stack.of(A), Stack.of(X)).X.matrices()
        ok = certify(A, refined).certified
        rows.append(
            {
                "format": name,
                "unit roundoff": f"{u:.1e}",
                "residual / (kappa u), median": f"{np.median(ratio[usable]):.2f}",
                "99 %": f"{np.quantile(ratio[usable], 0.99):.2f}",
                "certified after float64 polish": f"{100 * ok.mean():.2f} %",
            }
        )
        bins = [ok[which == b].mean() for b in range(len(edges) - 1)]
        missed.draw(np.sqrt(edges[1:] * edges[:-1]), bins, label=name, **style[name])
    axes.set(
        xscale="log",
        xlabel="condition number (2-norm, dimensionless)",
        ylabel="share not certified after Newton-Schulz in float64",
        title="feedback-4 with products of rounded factors, float32 accumulation",
    )
    axes.legend()
    return records(rows), figure
