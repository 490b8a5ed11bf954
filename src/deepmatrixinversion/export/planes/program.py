"""PyTorch programs whose complex tensors are written as pairs of real ones."""

from __future__ import annotations

import functools
import operator
from typing import Any, cast

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from deepmatrixinversion.export.planes import elements, matrices
from deepmatrixinversion.export.planes.pair import Planes
from deepmatrixinversion.export.stand_ins import StandIns

RULES = elements.RULES | matrices.RULES
IGNORED = frozenset({"_assert_tensor_metadata"})
OF_SHAPE = frozenset({"sym_size", "sym_numel"})


def exportable_program(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """``torch.export.export`` of a model, ready for ``torch.onnx.export``.

    Two kinds of models need it:

    - Those that compute with complex tensors, for which ONNX has no operators. Each becomes two
      real ones, and complex matrices to invert, solve or factor become real ones of twice the
      order, which `deepmatrixinversion.export.onnx_translation_table` writes.
    - Those that call ``matrix_norm`` or ``cond`` with norms other than Frobenius', ``matrix_power``
      with 0, ``vander``, or ``torch.svd`` without vectors: PyTorch's own export fixes their batch
      to that of the example, or refuses them.

    All others come back as ``torch.export.export`` returns them.

    Parameters
    ----------
    model : torch.nn.Module
        with real inputs and outputs: ``torch.complex`` and ``torch.view_as_complex`` lead in,
        ``.real``, ``.imag``, ``abs`` and ``torch.view_as_real`` out. Parameters and buffers may be
        complex.
    args, kwargs, dynamic_shapes
        as for ``torch.export.export``

    Returns
    -------
    torch.export.ExportedProgram
        to be handed to ``torch.onnx.export`` in the model's place, without ``args``

    Raises
    ------
    ValueError
        where an input or an output is complex, and for functions of complex tensors that are not
        translated, which are named

    Notes
    -----
    Products of complex matrices are four real ones. ``inv``, ``solve``, ``pinv``, ``cholesky`` and
    others of order n are real ones of order 2 n: twice the operations of complex arithmetic.

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.export import onnx_translation_table, exportable_program
    >>> class Inverse(torch.nn.Module):
    ...     def forward(self, re, im):
    ...         return torch.view_as_real(torch.linalg.inv(torch.complex(re, im)))
    >>> program = exportable_program(Inverse(), (torch.eye(3)[None], torch.zeros(1, 3, 3)))
    >>> file = torch.onnx.export(
    ...     program, dynamo=True, verbose=False, custom_translation_table=onnx_translation_table()
    ... )
    """
    with StandIns():
        given = torch.export.export(model, args, kwargs, dynamic_shapes=dynamic_shapes)
    if not any(map(_is_complex, given.graph.nodes)):
        return given
    _check(given)
    real = _Real(model, given.module())
    return torch.export.export(real, args, kwargs, dynamic_shapes=dynamic_shapes)


def _values(node: fx.Node) -> tuple[Any, ...]:
    """What a node's value is like, or its several values."""
    value = node.meta.get("val")
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _is_complex(node: fx.Node) -> bool:
    """Whether a value of the node is a complex tensor."""
    return any(isinstance(v, torch.Tensor) and v.is_complex() for v in _values(node))


def _is_complex_constant(node: fx.Node) -> bool:
    """Whether the node is a complex parameter, buffer or constant."""
    return node.op == "get_attr" and _is_complex(node)


def _concerned(node: fx.Node) -> bool:
    """Whether it is a function that takes or gives complex tensors."""
    if node.op != "call_function" or node.target is operator.getitem:
        return False
    return _is_complex(node) or any(map(_is_complex, node.all_input_nodes))


def _name(node: fx.Node) -> str:
    """The function that a node calls, without its overload."""
    return str(getattr(node.target, "overloadpacket", node.target)).rpartition(".")[2]


def _check(program: ExportedProgram) -> None:
    """Refuse what is complex at the edges, and functions without a rule."""
    known = {*RULES, *IGNORED, *OF_SHAPE, *elements.PLANEWISE, *elements.FACTORIES}
    nodes = program.graph.nodes
    edges = {*program.graph_signature.user_inputs, *program.graph_signature.user_outputs}
    complex_edges = [str(n.name) for n in nodes if n.name in edges and _is_complex(n)]
    if complex_edges:
        raise ValueError(
            f"{', '.join(map(str, complex_edges))}: inputs and outputs must be real, "
            "planes or torch.view_as_real"
        )
    unknown = sorted({_name(n) for n in nodes if _concerned(n)} - known)
    if unknown:
        raise ValueError(
            f"not translated for complex tensors: {', '.join(unknown)}: "
            "take inv, solve, pinv, cholesky, svdvals or eigvalsh, which are, "
            "or apply it to the real matrix [[Re, -Im], [Im, Re]]"
        )


class _Real(nn.Module):
    """A model's program, run with planes."""

    def __init__(self, model: nn.Module, program: fx.GraphModule) -> None:
        super().__init__()
        for name in {str(n.target) for n in program.graph.nodes if _is_complex_constant(n)}:
            path, _, leaf = name.rpartition(".")
            owner = program.get_submodule(path)
            tensor = getattr(owner, leaf).detach()
            delattr(owner, leaf)
            owner.register_buffer(f"{leaf}_re", tensor.real.clone())
            owner.register_buffer(f"{leaf}_im", tensor.imag.clone())
        self.program = program
        interpreter = _Interpreter(program)

        # Names of arguments, and so of the program's inputs, are those of the model.
        @functools.wraps(model.forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return interpreter.run(*args, *kwargs.values())

        self.forward = forward


class _Interpreter(fx.Interpreter):
    """Runs a program, with rules for what takes or gives complex tensors."""

    def run_node(self, n: fx.Node) -> Any:
        """The value of a node."""
        if _is_complex_constant(n):
            name = str(n.target)
            return Planes(self.fetch_attr(f"{name}_re"), self.fetch_attr(f"{name}_im"))
        if not _concerned(n):
            return super().run_node(n)
        found = _called(n, *self.fetch_args_kwargs_from_env(n))
        values = _values(n)
        if len(values) == 1:
            return _as_declared(found, values[0])
        return tuple(_as_declared(f, v) for f, v in zip(found, values, strict=True))


def _called(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function of complex tensors returns."""
    name, target = _name(node), cast(Any, node.target)
    if name in IGNORED:
        return None
    if name in RULES:
        return RULES[name](*args, **kwargs)
    if name in elements.PLANEWISE and isinstance(args[0], Planes):
        return elements.plane_by_plane(target, *args, **kwargs)
    if name in elements.FACTORIES and any(isinstance(x, complex) for x in args):
        return elements.plane_by_plane(target, *args, **kwargs)
    return target(*elements.plane(args, 0), **elements.plane(kwargs, 0))


def _as_declared(found: Any, value: Any) -> Any:
    """A result with the shape and precision that the program gives for it."""
    if not isinstance(value, torch.Tensor):
        return found
    if not value.is_complex():
        return found.re if isinstance(found, Planes) else found
    if not isinstance(found, Planes):
        found = Planes(found, torch.zeros_like(found))
    # As they are written: to compare a size that is unknown with a number would fix it.
    if [str(k) for k in found.re.shape] != [str(k) for k in found.im.shape]:
        found = Planes(*torch.broadcast_tensors(found.re, found.im))
    dtype = value.dtype.to_real()
    return found.each(lambda x: x if x.dtype == dtype else x.to(dtype))
