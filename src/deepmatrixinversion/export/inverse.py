"""Writes ONNX files that invert: matrices in, inverses with their residuals out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from torch import nn

from deepmatrixinversion.atomic import atomic_bytes, atomic_text
from deepmatrixinversion.export.card import card
from deepmatrixinversion.export.check import Accuracy, check, measure
from deepmatrixinversion.export.graph import check_standard, quiet
from deepmatrixinversion.export.modules import module_for
from deepmatrixinversion.export.options import Options
from deepmatrixinversion.export.stripping import graphs, strip
from deepmatrixinversion.export.translation import onnx_translation_table


class Export(NamedTuple):
    """What was written.

    Attributes
    ----------
    path, card : Path
        The graph and its model card.
    options : Options
        What was asked for, and decided.
    difference : float
        Largest relative difference against the Python result, ‖X - Y‖F/‖Y‖F.
    accuracy : list of Accuracy
        Against float64, by condition number.
    """

    path: Path
    card: Path
    options: Options
    difference: float
    accuracy: list[Accuracy]


def export_onnx(
    order: int,
    path: str | os.PathLike[str],
    *,
    net: str = "auto",
    model: str | os.PathLike[str] | None = None,
    kind: str = "inverse",
    refine: int | None = None,
    opset: int = 18,
    precision: str = "32",
    tol: float | None = None,
    rows: int | None = None,
    early_exit: bool = False,
    internal: str | None = None,
) -> Export:
    """Write an ONNX graph that inverts matrices of one order, and its model card beside it.

    The graph maps ``A`` (batch, n, n), and ``B`` (batch, n, k) for ``solve``, to

    - ``inverse`` (batch, n, n), or ``solution`` (batch, n, k), or, of ``A`` (batch, m, n),
      ``pseudoinverse`` (batch, n, m);
    - ``residual`` (batch,): ‖I - A X‖F of the inverse X that is returned or that solves; for
      ``pinv`` ‖A X A - A‖F/‖A‖F;
    - ``converged`` (batch,): residual < ``tol``.

    It is compared with PyTorch and with float64 on fresh matrices first, and not written where it
    differs by more than rounding explains.

    Parameters
    ----------
    order : int
        n; 0 for any order, which ``spectral`` alone takes.
    path : path-like
        The file, ending in ``.onnx``. The card has the ending ``.md`` instead.
    net : {"auto", "adjugate", "elimination", "iterative", "feedback", "spectral"}
        What computes the inverse. ``auto`` is ``adjugate`` up to order 2, ``elimination`` up to 128
        and ``iterative`` beyond or with ``early_exit``; for order 0 the spectral network.
    model : path-like, optional
        A model directory or a bundled name, in place of ``net``.
    kind : {"inverse", "pinv", "solve"}
    refine : int, optional
        Newton-Schulz steps after it, each of 2 products and kept only where the residual shrinks.
        By default 2 after a network, 5 in float64, and none after the others.
    opset : int
        17 to 25.
    precision : {"32", "64", "16"}
        Of input and output. With 16 the inside is float32.
    tol : float, optional
        Threshold of ``converged``: 0.01, in float64 1e-6, in float16 0.1. A residual r < 1 proves
        that A is nonsingular and that ‖X - A⁻¹‖F <= r/(1 - r) ‖X‖F, up to rounding in r itself.
    rows : int, optional
        m, for ``pinv`` of matrices that are not square; n by default.
    early_exit : bool
        Write the steps of ``iterative`` as an ONNX ``Loop`` that ends once no matrix of the batch
        gains by another. Without it a graph has neither loops nor branches.
    internal : {"32", "64"}, optional
        Bits of the arithmetic inside, for ``pinv``. Up to 16 rows or columns, where it is written
        in Jacobi rotations, those of ``precision``, at least 32; beyond, by iteration, 64.

    Returns
    -------
    Export

    Raises
    ------
    ValueError
        When the options do not fit, or the graph does not pass its check.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = export_onnx(3, pathlib.Path(folder) / "inverse.onnx")
    ...     done.options.method
    'elimination'
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"{path}: the name of an ONNX file ends in .onnx")
    options = Options(
        order, net, model, kind, precision, refine, tol, rows, early_exit, opset, internal
    )
    module = module_for(options)
    proto = standard_model(module, options)
    data = proto.SerializeToString()
    difference = check(data, module, options)
    accuracy = measure(data, options)
    operators = Counter(node.op_type for graph in graphs(proto.graph) for node in graph.node)
    atomic_bytes(path, data)
    card_path = path.with_suffix(".md")
    atomic_text(card_path, card(path.name, options, operators, difference, accuracy))
    return Export(path, card_path, options, difference, accuracy)


def standard_model(module: nn.Module, options: Options) -> onnx.ModelProto:
    """The module as an ONNX model of standard operators, its shapes inferred, checked."""
    m, n = options.shape if options.order else (5, 5)
    opset = options.opset
    example = (torch.eye(m, n, dtype=options.dtype).expand(2, m, n) + 0.1,)
    batch = torch.export.Dim("batch", min=1)
    axes: dict[int, Any] = {0: batch}
    if options.order == 0:
        axes |= {1: (any_order := torch.export.Dim("n", min=2)), 2: any_order}
    shapes: list[dict[int, Any]] = [axes]
    names, outputs = ["A"], [options.output, "residual", "converged"]
    if options.kind == "solve":
        example += (example[0][:, :, :3],)
        names.append("B")
        shapes.append({0: batch, 2: torch.export.Dim("k", min=1)})
        if options.order == 0:
            shapes[1][1] = axes[1]
    with warnings.catch_warnings(), quiet("torch.onnx", "onnxscript.version_converter"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=tuple(shapes),
            opset_version=opset,
            custom_translation_table=onnx_translation_table(
                method="auto" if options.network else options.method,
                early_exit=options.early_exit,
            ),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    written = next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx"))
    if written != opset:
        raise ValueError(f"the exporter wrote opset {written} where {opset} was asked for")
    check_standard(proto)
    strip(proto)
    if opset == 17:
        drop_newer_attributes(proto)
    try:
        proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(
            f"the exporter cannot write this graph in opset {opset}: {str(error).splitlines()[0]}"
        ) from None
    return proto


def drop_newer_attributes(proto: onnx.ModelProto) -> None:
    """Finish what the exporter leaves undone where it converts from opset 18 to 17.

    Neither attribute changes what the node does: ``Split`` has as many outputs as it has, and
    ``noop_with_empty_axes`` has its default value.
    """
    for node in (node for graph in graphs(proto.graph) for node in graph.node):
        if node.op_type in ("Split", "ReduceMax", "ReduceMin", "ReduceMean"):
            kept = [
                a for a in node.attribute if a.name not in ("num_outputs", "noop_with_empty_axes")
            ]
            del node.attribute[:]
            node.attribute.extend(kept)
