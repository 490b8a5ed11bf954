"""A 512x512 matrix by a 3x3 network
=================================

Schur complements down to order 3, and what each depth leaves. Needs no extra.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deepmatrixinversion import Inverter
from deepmatrixinversion.linalg.newton import newton_schulz
from deepmatrixinversion.linalg.schur import block_inverse
from deepmatrixinversion.linalg.stack import Stack

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
parser.add_argument("--order", type=int, default=512, metavar="N", help="order (%(default)s)")
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)
n, inverter = options.order, Inverter.from_pretrained("feedback-3")
A = np.random.default_rng(6).uniform(-1, 1, (n, n))


def residual(M: np.ndarray, X: np.ndarray) -> float:
    return float(np.linalg.norm(np.eye(len(M)) - M @ X))


# The recursion halves the matrix: its leading blocks are the matrices of each depth.
orders, depths = [n], []
while orders[-1] > 2 * inverter.order:
    orders.append((orders[-1] + 1) // 2)
for order in reversed(orders):
    B = A[:order, :order]
    X = block_inverse(B[None], inverter.leaf, inverter.order)
    refined = newton_schulz(Stack.of(B[None]), Stack.of(X)).X.matrices()
    depths.append((order, residual(B, X[0]), residual(B, refined[0])))
    print("order {:4d}: recursion {:.1e}, polished {:.1e}".format(*depths[-1]))

result = inverter.inv_ex(A)
bound = result.certificate.error_bound
print(f"certified: {result.certificate.certified}, ‖A⁻¹ - X‖ <= {bound:.1e}")
print(f"residual: {residual(A, result.inverse):.1e}, LAPACK's {residual(A, np.linalg.inv(A)):.1e}")

axes = (figure := Figure(figsize=(7, 5), layout="constrained")).subplots()
order, raw, polished = np.array(depths).T
axes.loglog(order, raw, "o-", label="Schur recursion, leaves refined")
axes.loglog(order, polished, "s-", label="after Newton-Schulz on the whole")
axes.set(
    xlabel="order of the leading block (one recursion depth each)",
    ylabel="‖I - AX‖F (dimensionless)",
    title=f"Order {n} from a network of order {inverter.order}",
)
axes.set_xticks(order, [f"{n:.0f}" for n in order])
axes.minorticks_off()
axes.grid(alpha=0.3)
axes.legend()
figure.savefig(options.out / "06_large.png", dpi=150)
