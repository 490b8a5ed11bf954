"""Least squares by a 3x3 normal matrix
====================================

Ordinary least squares, y = 5 + 2 x1 - 3 x2 + noise, by inverting its matrix. Needs no extra.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deepmatrixinversion import solve_ex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(3)
x1, x2 = rng.uniform(0, 10, (2, 50))
y = 5 + 2 * x1 - 3 * x2 + rng.normal(0, 1, 50)

D = np.column_stack([np.ones_like(x1), x1, x2])
solution = solve_ex(D.T @ D, D.T @ y)
b = solution.solution
by_numpy = np.linalg.lstsq(D, y, rcond=None)[0]
print(f"coefficients:        {b}")
print(f"NumPy's lstsq:       {by_numpy}")
print(f"largest difference:  {np.abs(b - by_numpy).max():.1e}")
print(f"proven error bound:  {solution.error_bound:.1e} (of the normal equations' solution)")

figure = Figure(figsize=(6, 5.5), layout="constrained")
axes = figure.subplots()
fitted = D @ b
ends = [y.min(), y.max()]
axes.plot(ends, ends, color="#777777", label="identity")
axes.plot(y, fitted, "o", markersize=5, alpha=0.7, color="#1f5a99", label="50 points")
r2 = 1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
axes.set(
    xlabel="observed y (arbitrary units)",
    ylabel="fitted y (arbitrary units)",
    title=f"y = {b[0]:.3f} + {b[1]:.3f} x1 - {-b[2]:.3f} x2,  R² = {r2:.4f}",
)
axes.legend()
axes.grid(alpha=0.3)
figure.savefig(folder / "03_least_squares_3x3.png", dpi=150)
