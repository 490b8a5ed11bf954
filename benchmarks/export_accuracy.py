r"""Accuracy of exported inverses by order, condition and spectrum, in onnxruntime.

    python benchmarks/export_accuracy.py --markdown docs/onnx-accuracy.md \
        --plot docs/onnx-accuracy.png

LAPACK inverts the same matrices in the same precision. Residuals are computed in float64.
"""

from __future__ import annotations

import logging

import numpy as np
import onnx

from curves import note
from deepmatrixinversion.export.check import session
from deepmatrixinversion.export.inverse import standard_model
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.matrices.spectra import even_spectrum, with_singular_values
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.metrics import frobenius_residuals as residual
from page import arguments, panels, table, write_page

SPECTRA = {
    "even": even_spectrum,
    "one small": lambda n, kappa: np.r_[np.ones(n - 1), 1 / kappa],
    "one large": lambda n, kappa: np.r_[1, np.full(n - 1, 1 / kappa)],
}
ORDERS = {
    "adjugate": (3, 4),
    "elimination": (4, 8, 16, 32, 64),
    "feedback": (8,),
    "iterative": (8, 16, 32, 64, 128),
}
CASES = sorted((order, net) for net, orders in ORDERS.items() for order in orders)
KAPPAS = {"32": 10.0 ** np.arange(0, 8), "64": 10.0 ** np.arange(0, 15, 2)}
WORST = 1e4
"""The largest residual that is drawn."""
DTYPES = {"32": np.float32, "64": np.float64}


def by_itself(order: int) -> str:
    """The net that ``dmxexport`` takes for an order when none is named."""
    return Options(order).method


def graph(order: int, net: str, precision: str) -> bytes:
    """The bytes of an export."""
    options = Options(order, net, precision=precision)
    model: onnx.ModelProto = standard_model(module_for(options), options)
    return model.SerializeToString()


def measure(precision: str, count: int, seed: int, largest: int = 128) -> dict:
    """(order, net, spectrum) -> residuals of the graph and of LAPACK, by condition number."""
    results = {}
    for order, net in CASES:
        if order > largest or (precision == "64" and net == "feedback"):
            continue
        run = session(graph(order, net, precision))
        for spectrum, sigma in SPECTRA.items():
            rng = np.random.default_rng([seed, order])
            ours, lapack = [], []
            for kappa in KAPPAS[precision]:
                spectra = np.tile(sigma(order, kappa), (count, 1))
                A = with_singular_values(rng, spectra).astype(DTYPES[precision])
                ours.append(residual(A, run.run(None, {"A": A})[0]).max())
                lapack.append(residual(A, np.linalg.inv(A)).max())
            results[order, net, spectrum] = (ours, lapack)
        print(order, net, precision, flush=True)
    return results


def reach(kappas: np.ndarray, residuals: list[float], most: float) -> str:
    """The largest condition number up to which the residual stays below ``most``."""
    good = np.array(residuals) < most
    last = len(good) if good.all() else int(np.argmin(good))
    return "-" if last == 0 else f"{kappas[last - 1]:.0e}".replace("e+0", "e").replace("e+", "e")


def draw(results: dict[str, dict], where: str) -> None:
    """Residual against condition number, a panel for each precision and spectrum."""
    figure, axes_of = panels(12, 7, rows=2, columns=3)
    chosen = [(4, "adjugate"), (8, "feedback"), (16, "elimination"), (16, "iterative")]
    for row, precision in zip((axes_of[:3], axes_of[3:]), results, strict=True):
        for axes, spectrum in zip(row, SPECTRA, strict=True):
            for k, (order, net) in enumerate(chosen):
                if (order, net, spectrum) in results[precision]:
                    ours, _ = results[precision][order, net, spectrum]
                    axes.loglog(
                        KAPPAS[precision], np.minimum(ours, WORST), f"C{k}{'o^sD'[k]}-", mfc="none",
                        markersize=9 - k, label=f"{net}, n = {order}",
                    )  # fmt: skip
                    if np.max(ours) > WORST:
                        note(axes, WORST, "this and worse", side="left")
            if (16, "iterative", spectrum) in results[precision]:
                _, lapack = results[precision][16, "iterative", spectrum]
                axes.loglog(KAPPAS[precision], lapack, "k--", label="LAPACK, n = 16")
            note(axes, 1, "no inverse from here on", side="left")
            axes.set(
                title=f"float{precision}, {spectrum}",
                xlabel="condition number",
                ylim=(None, 2 * WORST),
            )
        row[0].set_ylabel("largest ‖I - AX‖F")
        row[0].legend(fontsize=8)
    save_figure(figure, where)


def main() -> None:
    """Measure, print and write what was asked for."""
    options = arguments(__doc__, seed=2026, count=100, largest=128).parse_args()
    logging.disable(logging.WARNING)
    results = {p: measure(p, options.count, options.seed, options.largest) for p in ("32", "64")}
    rows = []
    for precision, found in results.items():
        most, kappas = {"32": 1e-2, "64": 1e-6}[precision], KAPPAS[precision]
        for order, net in CASES:
            if (order, net, "even") in found:
                cells = [reach(kappas, found[order, net, s][0], most) for s in SPECTRA]
                cells.append(reach(kappas, found[order, net, "even"][1], most))
                name = f"{net} (auto)" if net == by_itself(order) else net
                rows.append([f"float{precision}", order, name, *cells])
    found = table(["precision", "order", "net", *SPECTRA, "LAPACK, even"], rows)
    write_page(options.markdown, "export_accuracy", count=options.count, table=found)
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
