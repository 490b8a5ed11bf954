"""The idea in one picture
=======================

A network guesses, matrix products refine, a proven bound decides. Needs no extra.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from deepmatrixinversion import Inverter, entrywise_error_bound, inv_ex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

n = 8
A = np.random.default_rng(1).normal(size=(n, n))
X = Inverter.from_pretrained("feedback-8").guess(A)
residuals = []
for step in range(3):
    R = np.eye(n) - A @ X
    residuals.append(np.abs(R))
    print(f"after {step} steps: ‖I - AX‖F = {np.linalg.norm(R):.1e}")
    X = X + X @ R  # Newton-Schulz: the number of right digits doubles

X, certificate, _ = inv_ex(A)
bound = entrywise_error_bound(A, X)
print(f"certified: {certificate.certified}, no entry is off by more than {bound.max():.1e}")

figure = Figure(figsize=(13, 2.9), layout="constrained")
axes = figure.subplots(1, 6)
for ax, M, title in zip(axes[:2], (A, X), ("the matrix A", "its inverse X"), strict=True):
    largest = np.abs(M).max()
    ax.imshow(M, cmap="RdBu", vmin=-largest, vmax=largest)
    ax.set_title(title)
titles = ("|I - AX|: the guess", "one step", "two steps", "proven: |A⁻¹ - X| below")
errors = LogNorm(1e-17, 1e-3, clip=True)
for ax, M, title in zip(axes[2:], (*residuals, bound), titles, strict=True):
    picture = ax.imshow(np.maximum(M, 1e-17), cmap="magma", norm=errors)
    ax.set_title(title)
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
figure.colorbar(picture, ax=axes[2:], shrink=0.8, label="size of an entry")
figure.savefig(folder / "00_idea.png", dpi=150)
