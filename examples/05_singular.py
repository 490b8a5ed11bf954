"""Singular matrices and their pseudo-inverses
===========================================

No inverse is claimed, and the pseudo-inverse is there for the asking. Needs no extra.
"""

import argparse
from pathlib import Path

import numpy as np

from deepmatrixinversion import SingularMatrixError, inv, pinv_ex
from deepmatrixinversion.matrices.datasets import singular_pairs
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.metrics import ErrorAccumulator
from deepmatrixinversion.reporting.plots import answers_against_true

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

# Products of random factors of rank 1 and 2, with their Moore-Penrose inverses.
blocks = list(singular_pairs(np.random.default_rng(5), 10_000, 3, -1.0, 1.0))
A = np.concatenate([block.matrices for block in blocks])
target = np.concatenate([block.targets for block in blocks])

try:
    inv(A)
except SingularMatrixError as error:
    print(error)
    print(f"certified as inverses: {error.inversion.certificate.certified.sum()} of {len(A)}")

result = pinv_ex(A)
errors = ErrorAccumulator()
errors.add(result.pseudoinverse, target)
statistics = errors.statistics()
for rank, count in enumerate(np.bincount(result.rank)):
    print(f"of rank {rank}: {count}")
print(f"largest Penrose residual: {result.penrose.max():.1e}")
print(f"R2 {statistics.r2:.12f}, MAE {statistics.mae:.1e}")

title = "Singular 3x3 matrices: pinv against the Moore-Penrose inverse"
figure = answers_against_true(A, result.pseudoinverse, target, title=title, name="pseudo-inverse")
save_figure(figure, folder / "05_singular.png")
