"""Time and residual against LAPACK
================================

Certified inverses against numpy.linalg.inv, single matrices, n = 3 ... 1024, both in turn;
benchmarks/cost.py times stacks, where a call's overhead is shared. Needs no extra.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deepmatrixinversion import inv_ex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
parser.add_argument("--largest", type=int, default=1024, metavar="N", help="(%(default)s)")
options = parser.parse_args()
folder, largest = options.out, options.largest
folder.mkdir(parents=True, exist_ok=True)
orders = [n for n in (3, 6, 10, 32, 64, 100, 150, 256, 512, 1024) if n <= largest]
methods = {"inv_ex": lambda A: inv_ex(A).inverse, "numpy": np.linalg.inv}
seconds: dict[str, list[float]] = {name: [] for name in methods}
residuals: dict[str, list[float]] = {name: [] for name in methods}

print("order   inv_ex, ms   numpy, ms    ratio   ‖I - XA‖ inv_ex     numpy")
for n in orders:
    A = np.random.default_rng(n).uniform(-1, 1, (n, n))
    answers = {name: invert(A) for name, invert in methods.items()}  # warms up, too
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(max(3, min(31, 1500 // n))):
        for name, invert in methods.items():
            start = time.perf_counter()
            invert(A)
            times[name].append(time.perf_counter() - start)
    for name, X in answers.items():
        seconds[name].append(float(np.median(times[name])))
        residuals[name].append(float(np.abs(np.eye(n) - X @ A).sum(axis=1).max()))
    ours, lapack = seconds["inv_ex"][-1], seconds["numpy"][-1]
    print(f"{n:5d} {1e3 * ours:12.3f} {1e3 * lapack:11.3f} {ours / lapack:8.2f} "
          f"{residuals['inv_ex'][-1]:17.1e} {residuals['numpy'][-1]:9.1e}")  # fmt: skip

figure = Figure(figsize=(11, 4.8), layout="constrained")
left, right = figure.subplots(1, 2)
labels = {"inv_ex": "inv_ex (network, certified)", "numpy": "numpy.linalg.inv (LAPACK)"}
for name, style in (("inv_ex", "o-"), ("numpy", "s--")):
    left.loglog(orders, seconds[name], style, label=labels[name])
    right.loglog(orders, np.maximum(residuals[name], 1e-17), style, label=labels[name])
left.set(ylabel="time for one matrix, median (s)", title="Time")
right.set(ylabel="‖I - XA‖ (infinity norm, dimensionless)", title="Residual")
for axes in (left, right):
    axes.set(xlabel="order n")
    axes.set_xticks(orders, [str(n) for n in orders], rotation=60)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
figure.savefig(folder / "benchmark_inversion.png", dpi=150)
