"""A 512x512 matrix by a 3x3 network: Schur complements, and what each stage leaves.

python examples/06_large.py [FOLDER FOR THE PLOT] [ORDER]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deepmatrixinversion import Inverter
from deepmatrixinversion.linalg.newton import newton_schulz
from deepmatrixinversion.linalg.schur import block_inverse
from deepmatrixinversion.linalg.stack import Stack

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
n = int(sys.argv[2]) if len(sys.argv) > 2 else 512
inverter = Inverter.from_pretrained("feedback-3")
A = np.random.default_rng(6).uniform(-1, 1, (n, n))


def residual(M: np.ndarray, X: np.ndarray) -> float:
    return float(np.linalg.norm(np.eye(len(M)) - M @ X))


# The recursion halves the matrix: its leading blocks are the matrices of each depth.
orders = [n]
while orders[-1] > 2 * inverter.order:
    orders.append((orders[-1] + 1) // 2)
depths = []
for order in reversed(orders):
    B = A[:order, :order]
    X = block_inverse(B[None], inverter.leaf, inverter.order)
    refined = newton_schulz(Stack.of(B[None]), Stack.of(X)).X.matrices()
    depths.append((order, residual(B, X[0]), residual(B, refined[0])))
    print(f"order {order:4d}: recursion {depths[-1][1]:.1e}, polished {depths[-1][2]:.1e}")

result = inverter.inv_ex(A)
print(f"certified: {result.certificate.certified}, "
      f"‖A⁻¹ - X‖ <= {result.certificate.error_bound:.1e}")  # fmt: skip
print(f"residual: {residual(A, result.inverse):.1e}, LAPACK's {residual(A, np.linalg.inv(A)):.1e}")

figure = Figure(figsize=(7, 5), layout="constrained")
axes = figure.subplots()
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
axes.legend()
axes.grid(alpha=0.3)
figure.savefig(folder / "06_large.png", dpi=150)
