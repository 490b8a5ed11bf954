"""Files without what no runtime reads: notes, source paths, inferred shapes, equal constants."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx

from deepmatrixinversion.atomic import atomic_bytes

LIMITING = ("Max", "Min")


def strip(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    """Remove from a model what its exporter noted beside it; it computes what it did.

    Doc strings, metadata (the source path of each operation, as large as the graph), shapes of
    values within the graph and repeated initializers go. So that
    ``onnxconverter_common.float16.convert_float_to_float16(model, keep_io_types=True)`` does not
    write a model that no runtime loads, an output that the graph itself goes on computing with
    gets a node ``Identity`` to itself, ``Cast`` to float32 becomes ``CastLike``, and what ``Max``
    and ``Min`` take belongs to them alone.

    Parameters
    ----------
    model : onnx.ModelProto or path-like
        A model, which is changed, or its file, which is replaced in one instant. Weights that
        lie in files beside it stay there.

    Returns
    -------
    onnx.ModelProto

    Examples
    --------
    >>> import onnx
    >>> from deepmatrixinversion.export import strip
    >>> node = onnx.helper.make_node("Abs", ["x"], ["y"], doc_string="at line 3 of model.py")
    >>> x, y = (onnx.helper.make_tensor_value_info(k, 1, [2]) for k in "xy")
    >>> graph = onnx.helper.make_graph([node], "g", [x], [y])
    >>> strip(onnx.helper.make_model(graph)).graph.node[0].doc_string
    ''
    """
    if not isinstance(model, onnx.ModelProto):
        path = Path(model)
        found = strip(onnx.load(path, load_external_data=False))
        atomic_bytes(path, found.SerializeToString())
        return found
    for part in _parts(model):
        part.ClearField("doc_string")
        del part.metadata_props[:]
    for graph in graphs(model.graph):
        del graph.value_info[:]
    _share_initializers(model.graph)
    if any(o.domain == "" and o.version >= 15 for o in model.opset_import):
        _cast_alike(model.graph)
    _set_outputs_apart(model.graph)
    return model


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph with the branches and loop bodies within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):  # asked for, an absent one would come into being
                yield from graphs(attribute.g)
            for body in attribute.graphs:
                yield from graphs(body)


def _parts(model: onnx.ModelProto) -> Iterator:
    """Everything that may carry notes."""
    yield model
    for function in model.functions:
        yield from (function, *function.node)
    for graph in graphs(model.graph):
        yield graph
        yield from (*graph.node, *graph.initializer, *graph.input, *graph.output)


def _rename_inputs(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Other names for values where nodes take them, in branches and loop bodies as well."""
    for node in (node for part in graphs(graph) for node in part.node):
        for k, name in enumerate(node.input):
            node.input[k] = names.get(name, name)


def _share_initializers(graph: onnx.GraphProto) -> None:
    """One initializer of each dtype, shape and content, but for those that are seen outside."""
    seen: dict[tuple[bool, bytes], str] = {}
    names: dict[str, str] = {}
    limits = _limits(graph)
    outside = {value.name for value in (*graph.input, *graph.output)}
    kept = []
    for tensor in graph.initializer:
        nameless = onnx.TensorProto()
        nameless.CopyFrom(tensor)
        nameless.ClearField("name")
        key = tensor.name in limits, nameless.SerializeToString(deterministic=True)
        first = seen.setdefault(key, tensor.name)
        if first == tensor.name or tensor.name in outside or first in outside:
            kept.append(tensor)
        else:
            names[tensor.name] = first
    del graph.initializer[:]
    graph.initializer.extend(kept)
    _rename_inputs(graph, names)


def _limits(graph: onnx.GraphProto) -> set[str]:
    """Initializers that ``Max`` and ``Min`` take, made theirs alone.

    Converters leave these operators in float32, and with them what they take, which is then of no
    use to others.
    """
    given = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for part in graphs(graph) for node in part.node]
    of_others = {name for n in nodes if n.op_type not in LIMITING for name in n.input}
    found = set()
    for node in (n for n in nodes if n.op_type in LIMITING):
        for k, name in enumerate(node.input):
            if name in given:
                own = f"{name}_limit" if name in of_others else name
                if own not in given:
                    given[own] = graph.initializer.add()
                    given[own].CopyFrom(given[name])
                    given[own].name = node.input[k] = own
                node.input[k] = own
                found.add(own)
    return found


def _cast_alike(graph: onnx.GraphProto) -> None:
    """``CastLike`` a number in the place of ``Cast`` to float32.

    Converters make float16 of the number, and leave ``Cast`` as it is.
    """
    nodes = [n for part in graphs(graph) for n in part.node if _casts_to_float(n)]
    if not nodes:
        return
    name = _free_name(graph, "float32")
    graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [1.0]))
    for node in nodes:
        node.op_type = "CastLike"
        del node.attribute[:]
        node.input.append(name)


def _casts_to_float(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT


def _free_name(graph: onnx.GraphProto, name: str) -> str:
    """A name that nothing in the graph has."""
    taken = {t.name for part in graphs(graph) for t in (*part.initializer, *part.input)}
    taken |= {v for part in graphs(graph) for n in part.node for v in (*n.output, n.name)}
    while name in taken:
        name += "_"
    return name


def _set_outputs_apart(graph: onnx.GraphProto) -> None:
    """An ``Identity`` before each output that is an operand, too."""
    used = {name for part in graphs(graph) for node in part.node for name in node.input}
    made = {name for node in graph.node for name in node.output}
    taken = used | made | {node.name for node in graph.node}
    names = {}
    for name in sorted({value.name for value in graph.output} & used & made):
        inside = f"{name}_inside"
        while inside in taken:
            inside += "_"
        names[name] = inside
    for node in graph.node:
        for k, name in enumerate(node.output):
            node.output[k] = names.get(name, name)
    _rename_inputs(graph, names)
    for name, inside in names.items():
        graph.node.append(onnx.helper.make_node("Identity", [inside], [name], name=inside))
