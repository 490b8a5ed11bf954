"""A response surface: a 10x10 matrix by a 3x3 network
===================================================

Box & Draper 2007, example 11.3: time (h), catalyst (%) and temperature (deg C) of a chemical
reaction against its yield, by a second-order polynomial. The network sees matrices of order 3:
Schur complements do the rest. Needs no extra.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deepmatrixinversion import Inverter

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
DATA = """5.0 25.0 162 45.9  8.0 25.0 162 53.3  5.0 30.0 162 57.5  8.0 30.0 162 58.8
5.0 25.0 172 60.6  8.0 25.0 172 58.0  5.0 30.0 172 58.6  8.0 30.0 172 52.4  6.5 27.5 167 56.9
6.5 27.5 177 55.4  6.5 27.5 157 46.9  6.5 32.5 167 57.5  6.5 22.5 167 55.0  9.5 27.5 167 58.9
3.5 27.5 167 50.3  6.5 20.0 177 61.1  6.5 20.0 177 62.9  7.5 34.0 160 60.0  7.5 34.0 160 60.6"""
inputs = np.array(DATA.split(), dtype=float).reshape(-1, 4)
low, high = inputs[:, :3].min(axis=0), inputs[:, :3].max(axis=0)
x1, x2, x3 = (2 * (inputs[:, :3] - low) / (high - low) - 1).T
y = inputs[:, 3]
D = np.stack([x1**0, x1, x2, x3, x1 * x2, x1 * x3, x2 * x3, x1**2, x2**2, x3**2], axis=1)

solution = Inverter.from_pretrained("feedback-3").solve_ex(D.T @ D, D.T @ y)


def exact(A: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Gauss-Jordan elimination in rational arithmetic."""
    M = [[Fraction(v) for v in (*row, t)] for row, t in zip(A, c, strict=True)]
    for k in range(len(M)):
        p = next(i for i in range(k, len(M)) if M[i][k])
        M[k], M[p] = M[p], M[k]
        M[k] = [v / M[k][k] for v in M[k]]
        M = [r if i == k else [a - r[k] * b for a, b in zip(r, M[k], strict=True)]
             for i, r in enumerate(M)]  # fmt: skip
    return np.array([float(row[-1]) for row in M])


b, truth = solution.solution, exact(D.T @ D, D.T @ y)
names = ["1", "x1", "x2", "x3", "x1x2", "x1x3", "x2x3", "x1²", "x2²", "x3²"]
for name, value, reference in zip(names, b, truth, strict=True):
    print(f"{name:>5} {value:10.4f}   error {abs(value - reference):.1e}")
print(f"largest error {np.abs(b - truth).max():.1e}, proven bound {solution.error_bound:.1e}")

figure = Figure(figsize=(7, 5), layout="constrained")
axes = figure.subplots()
axes.bar_label(axes.bar(names, b, color="#1f5a99"), fmt="%.2f", padding=2, fontsize=8)
axes.axhline(0, color="#777777", linewidth=0.8)
axes.set(title="Yield of a consecutive chemical system: response surface", ylabel="coefficient (%)")
axes.grid(alpha=0.3, axis="y")
axes.set_axisbelow(True)
figure.savefig(folder / "04_box_draper.png", dpi=150)
