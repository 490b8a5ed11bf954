"""The model card beside an exported graph."""

from __future__ import annotations

from collections import Counter
from string import Template

from deepmatrixinversion.export.check import Accuracy
from deepmatrixinversion.export.modules import products
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.version import version

NETS = {
    "adjugate": "cofactors over the determinant, and one Newton-Schulz step",
    "elimination": "Gauss-Jordan elimination with partial pivoting, unrolled, no network",
    "iterative": "minimal residual steps from Aᵀ, no network",
    "feedback": "the residual-feedback network",
    "spectral": "the spectral network",
    "prior": "a start learned from matrices of one origin, and minimal residual steps",
}


def largest_kappa(accuracy: list[Accuracy]) -> float | None:
    """The largest condition number up to which every matrix measured converged."""
    reached = None
    for row in accuracy:
        if row.converged < 1:
            break
        reached = row.kappa
    return reached


TEXT = Template("""\
# $file

Takes `A` (batch, $m, $n)$right, $dtype, the batch of any size. Gives, in this order,

- `$output` $shape, $dtype;
- `residual` (batch,), $dtype: $residual;
- `converged` (batch,), bool: residual below $threshold.

$proof Where `converged` is false, the first output is not to be used.$inside

Method: $how.
Matrix products of order $n: $products.
Opset $opset, standard operators only, $flow, one file.

## Domain

Any scale. Converged for all of $domain, in the table below.
Where it ends depends on the spectrum as well: one small singular value among large ones and many
small ones beside one large one are not in the table.

## Accuracy

100 fresh matrices of $order a row, singular values spread evenly in their logarithms, in
onnxruntime. Largest ‖X - $exact‖F/‖$exact‖F and $residual, both computed in float64, A as
rounded to $dtype.

| condition | error | residual | converged |
| --- | --- | --- | --- |
$rows

Largest relative difference from PyTorch's result before this file was written: $difference.

## Operators

$operators.

Made by DeepMatrixInversion $version.
""")

PENROSE = Template(
    "A small residual means A X A = A; it does not prove the other three Penrose equations. "
    "Singular values below $rtol times the largest count as zero, which the table, of "
    "matrices of full rank, takes for errors."
)

NEUMANN = (
    "A residual r < 1 means that A is nonsingular and that ‖X - A⁻¹‖F is at most "
    "r/(1 - r) ‖X‖F, up to the rounding of r itself, about n eps ‖A‖F ‖X‖F."
)


def method(options: Options) -> str:
    """What computes the first output, in words."""
    how = NETS[options.method]
    if options.kind == "pinv":
        how = "scaled Newton-Schulz steps from Aᵀ, unrolled, no network"
        if options.jacobi:
            how = "one-sided Jacobi rotations after two QR factorisations, unrolled, no network"
    if options.network is not None:
        how += f" `{options.network.name}`, in float32"
    if options.method == "prior":
        how += " (the matrices of the table are foreign to it: its own are in the model's card)"
    if options.steps:
        how += f", then {options.steps} Newton-Schulz steps, each kept where the residual shrinks"
    if options.early_exit:
        how += ", ended once no matrix of the batch gains by another"
    return how


def inside(options: Options) -> str:
    """The dtype of the arithmetic, where it is not that of input and output or was asked for."""
    if options.inside == options.dtype and options.kind != "pinv":
        return ""
    return f" Inside, the arithmetic is {str(options.inside).removeprefix('torch.')}."


def domain(accuracy: list[Accuracy]) -> str:
    """Where all matrices measured converged, in words."""
    reached = largest_kappa(accuracy)
    if reached is None:
        return "no condition number measured, not even 1"
    return f"condition numbers up to {reached:g}"


def proof(options: Options) -> str:
    """What a small residual means."""
    if options.kind != "pinv":
        return NEUMANN
    return PENROSE.substitute(rtol=f"{options.rtol:.1e}")


def card(
    file: str,
    options: Options,
    operators: Counter[str],
    difference: float,
    accuracy: list[Accuracy],
) -> str:
    """The Markdown text that tells what a graph does, how well, and where it ends."""
    m, n = options.shape if options.order else ("n", "n")
    solve, pinv, loop = options.kind == "solve", options.kind == "pinv", options.early_exit
    used = ", ".join(f"{name} {count}" for name, count in sorted(operators.items()))
    return TEXT.substitute(
        file=file,
        m=m,
        n=n,
        right=f" and `B` (batch, {n}, k)" if solve else "",
        dtype=f"float{options.precision}",
        output=options.output,
        shape=f"(batch, {n}, k)" if solve else f"(batch, {n}, {m})",
        residual="‖A X A - A‖F/‖A‖F" if pinv else "‖I - A X‖F",
        threshold=f"{options.threshold:g}",
        proof=proof(options),
        inside=inside(options),
        how=method(options),
        products=products(options),
        opset=options.opset,
        flow="one loop, no branches" if loop else "no loops or branches",
        domain=domain(accuracy),
        order=f"{m}x{n}" if m != n else f"order {options.order or 16}",
        exact="A⁺" if pinv else "A⁻¹",
        rows="\n".join(
            f"| {a.kappa:.0e} | {a.error:.1e} | {a.residual:.1e} | {100 * a.converged:.0f} % |"
            for a in accuracy
        ),
        difference=f"{difference:.1e}",
        operators=used + (", those within the loop included" if loop else ""),
        version=version(),
    )
