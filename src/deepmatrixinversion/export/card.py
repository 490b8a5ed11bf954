"""The model card beside an exported graph."""

from __future__ import annotations

from collections import Counter

from deepmatrixinversion.export.check import Accuracy
from deepmatrixinversion.export.choice import Choice
from deepmatrixinversion.export.modules import products
from deepmatrixinversion.version import __version__

NETS = {
    "adjugate": "cofactors over the determinant, and one Newton-Schulz step",
    "elimination": "Gauss-Jordan elimination with partial pivoting, unrolled, no network",
    "iterative": "minimal residual steps from Aᵀ, no network",
    "feedback": "the residual-feedback network",
    "spectral": "the spectral network",
}


def largest_kappa(accuracy: list[Accuracy]) -> float | None:
    """The largest condition number up to which every matrix measured converged."""
    reached = None
    for row in accuracy:
        if row.converged < 1:
            break
        reached = row.kappa
    return reached


def card(
    file: str,
    choice: Choice,
    opset: int,
    operators: Counter[str],
    difference: float,
    accuracy: list[Accuracy],
) -> str:
    """The Markdown text that tells what a graph does, how well, and where it ends."""
    n = choice.order or "n"
    dtype = f"float{choice.precision}"
    inside = " Inside, the arithmetic is float32." if choice.precision == "16" else ""
    how = NETS[choice.net]
    if choice.kind == "pinv":
        how = "scaled Newton-Schulz steps from Aᵀ, unrolled, no network"
        if choice.precision != "64":
            how += "; inside, they are float64"
    if choice.model is not None:
        how += f" `{choice.model.name}`, in float32"
    if choice.refine:
        how += f", then {choice.refine} Newton-Schulz steps, each kept where the residual shrinks"
    m = choice.rows or n
    if choice.early_exit:
        how += ", ended once no matrix of the batch gains by another"
    right = f" and `B` (batch, {n}, k)" if choice.kind == "solve" else ""
    shape = f"(batch, {n}, k)" if choice.kind == "solve" else f"(batch, {n}, {m})"
    exact = "A⁺" if choice.kind == "pinv" else "A⁻¹"
    residual = "‖A X A - A‖F/‖A‖F" if choice.kind == "pinv" else "‖I - A X‖F"
    rtol = 1.7e-7 if choice.precision == "64" else 1.2e-7 * max(choice.order, choice.rows, 1.4)
    reached = largest_kappa(accuracy)
    domain = (
        "no condition number measured, not even 1"
        if reached is None
        else f"condition numbers up to {reached:g}"
    )
    rows = "\n".join(
        f"| {a.kappa:.0e} | {a.error:.1e} | {a.residual:.1e} | {100 * a.converged:.0f} % |"
        for a in accuracy
    )
    used = ", ".join(f"{name} {count}" for name, count in sorted(operators.items()))
    proof = (
        "A small residual means A X A = A; it does not prove the other three Penrose equations. "
        f"Singular values below {rtol:.1e} times the largest count as zero, which the table, of "
        "matrices of full rank, takes for errors."
        if choice.kind == "pinv"
        else "A residual r < 1 means that A is nonsingular and that ‖X - A⁻¹‖F is at most "
        "r/(1 - r) ‖X‖F, up to the rounding of r itself, about n eps ‖A‖F ‖X‖F."
    )
    order = f"order {n or 16}" if m == n else f"{m}x{n}"
    inside_loop = ", those within the loop included" if choice.early_exit else ""
    flow = "one loop, no branches" if choice.early_exit else "no loops or branches"
    return f"""\
# {file}

Takes `A` (batch, {m}, {n}){right}, {dtype}, the batch of any size. Gives, in this order,

- `{choice.output}` {shape}, {dtype};
- `residual` (batch,), {dtype}: {residual};
- `converged` (batch,), bool: residual below {choice.tol:g}.

{proof} Where `converged` is false, the first output is not to be used.{inside}

Method: {how}.
Matrix products of order {n}: {products(choice)}.
Opset {opset}, standard operators only, {flow}, one file.

## Domain

Any scale. Converged for all of {domain}, in the table below.
Where it ends depends on the spectrum as well: one small singular value among large ones and many
small ones beside one large one are not in the table.

## Accuracy

100 fresh matrices of {order} a row, singular values spread evenly in their logarithms, in
onnxruntime. Largest ‖X - {exact}‖F/‖{exact}‖F and {residual}, both computed in float64, A as
rounded to {dtype}.

| condition | error | residual | converged |
| --- | --- | --- | --- |
{rows}

Largest relative difference from PyTorch's result before this file was written: {difference:.1e}.

## Operators

{used}{inside_loop}.

Made by DeepMatrixInversion {__version__}.
"""
