"""Model directories: the round trip, and everything hostile that must end in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load, save

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.inference.session import Session
from deepmatrixinversion.models.config import NET_NAMES, ModelConfig, NetConfig, TrainingData
from deepmatrixinversion.models.directory import open_model, read_graph, read_weights
from deepmatrixinversion.models.weights import weight_shapes
from deepmatrixinversion.models.zoo import bundled_folder
from deepmatrixinversion.nets import build
from deepmatrixinversion.nets.weights import load_ensemble
from models_for_tests import (
    LAYERS,
    UNITS,
    graph,
    identity_graph,
    make_model,
    newton_graph,
    replace,
    weights,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def model(original, tmp_path):
    """A copy to be spoiled."""
    return shutil.copytree(original, tmp_path / "small")


def config_of(model):
    return json.loads((model / "config.json").read_text())


def write_config(model, config):
    (model / "config.json").write_text(json.dumps(config))


def load_everything(path):
    """Open a directory and use all of its files."""
    opened = open_model(path)
    for member in range(1, opened.config.members + 1):
        read_weights(opened, member)
    load_ensemble(opened)
    Inverter(opened)(np.eye(opened.config.net.msize)[None].repeat(3, 0))


def refused(path, *words):
    """Assert that using the directory ends in one sentence that has all of ``words``."""
    with pytest.raises(ModelError) as caught:
        load_everything(path)
    message = " ".join(str(caught.value).split())
    assert 10 < len(message) < 2500
    assert "Traceback" not in message
    for word in words:
        assert word in message
    return message


# --- what is good -----------------------------------------------------------------------------


def test_round_trip(original):
    opened = open_model(original)
    assert opened.name == "small"
    assert opened.path == original
    assert opened.config.net == NetConfig("dense", 3, UNITS, LAYERS)
    assert opened.config.members == 2
    assert read_graph(opened) == (original / "model.onnx").read_bytes()
    for member in (1, 2):
        expected = weights(3, member)
        got = read_weights(opened, member)
        assert got.keys() == expected.keys()
        for key in got:
            np.testing.assert_array_equal(got[key], expected[key])
    ensemble = load_ensemble(opened)
    assert not ensemble.training
    for member in (1, 2):
        state = ensemble.members[member - 1].state_dict()
        np.testing.assert_array_equal(
            state["body.0.weight"].numpy(), weights(3, member)["body.0.weight"]
        )


def test_configuration_survives_json_exactly():
    config = ModelConfig(
        net=NetConfig("resnet", 5, 64, 2),
        members=1,
        data=TrainingData("spd", -0.1, 1 / 3, 1e-17),
        loss="mse",
        seed=-12345678901234567890,
        files={"model.onnx": "0" * 64, "member_1.safetensors": "ü"},
    )
    assert ModelConfig.from_json(config.to_json()) == config
    assert ModelConfig.from_json(config.to_json().encode()) == config


def test_name_may_be_given_and_trailing_slash_and_relative_paths_work(original, monkeypatch):
    assert open_model(original, "user/repo@abc").name == "user/repo@abc"
    assert open_model(f"{original}/").name == "small"
    monkeypatch.chdir(original)
    assert open_model(".").name == "small"


def test_symbolic_links_are_followed(original, tmp_path):
    """The hub's cache is made of them."""
    folder = tmp_path / "links"
    folder.mkdir()
    for file in original.iterdir():
        (folder / file.name).symlink_to(file)
    load_everything(folder)
    (tmp_path / "link").symlink_to(original)
    load_everything(tmp_path / "link")


def test_further_files_do_not_matter(model):
    (model / "evil.py").write_text("raise SystemExit('imported')")
    (model / "weights.pkl").write_bytes(b"not a pickle")
    (model / "member_3.safetensors").write_bytes(b"not listed")
    load_everything(model)


# --- config.json ------------------------------------------------------------------------------

BAD_VALUES = [
    (("surprise",), 1, "unknown keys ['surprise']"),
    (("net", "surprise"), 1, "unknown keys ['surprise']"),
    (("data", "surprise"), 1, "unknown keys ['surprise']"),
    (("net", "msize"), 0, "msize is 0"),
    (("net", "msize"), -3, "msize is -3"),
    (("net", "msize"), True, "msize is True"),
    (("net", "msize"), 3.0, "msize is 3.0"),
    (("net", "msize"), "3", "msize is '3'"),
    (("net", "msize"), None, "msize is None"),
    (("net", "msize"), [3], "msize is [3]"),
    (("net", "msize"), 10**9, "msize is 1000000000"),
    (("net", "nunits"), 10**9, "nunits"),
    (("net", "nunits"), 0, "nunits"),
    (("net", "nlayers"), 10**9, "nlayers"),
    (("net", "nlayers"), False, "nlayers"),
    (("net", "net"), "transformer", "net is 'transformer'"),
    (("net", "net"), ["feedback"], "net is ['feedback']"),
    (("net", "net"), {}, "net is {}"),
    (("net",), None, "net is not a table"),
    (("net",), "feedback", "net is not a table"),
    (("net",), [], "net is not a table"),
    (("data",), 3, "data is not a table"),
    (("data", "rmin"), "-1", "rmin is '-1'"),
    (("data", "rmin"), float("nan"), "rmin is nan"),
    (("data", "rmax"), float("inf"), "rmax is inf"),
    (("data", "rmax"), True, "rmax is True"),
    (("data", "rmax"), 10**400, "rmax"),
    (("data", "rmax"), -1, "must be below"),
    (("data", "det_min"), -0.1, "det_min"),
    (("data", "distribution"), 3, "distribution"),
    (("members",), 0, "members is 0"),
    (("members",), True, "members is True"),
    (("members",), 1.0, "members is 1.0"),
    (("members",), 10**9, "members is 1000000000"),
    (("members",), 3, "files must list exactly"),  # beyond the files
    (("members",), 1, "files must list exactly"),  # fewer than the files
    (("loss",), 1, "loss"),
    (("seed",), 1.5, "seed"),
    (("seed",), True, "seed"),
    (("format_version",), 2, "format_version is 2"),
    (("format_version",), "1", "format_version is '1'"),
    (("format_version",), True, "format_version is True"),
    (("files",), [], "files"),
    (("files",), {}, "files must list exactly"),
    (("files", "model.onnx"), 7, "files"),
    (("files", "model.onnx"), "0" * 64, "SHA-256"),
    (("files", "model.onnx"), "", "SHA-256"),
    (("files", "../../../etc/passwd"), "0" * 64, "files must list exactly"),
    (("files", "/etc/passwd"), "0" * 64, "files must list exactly"),
    (("files", "member_1.safetensors/../model.onnx"), "0" * 64, "files must list exactly"),
    (("files", "MODEL.ONNX"), "0" * 64, "files must list exactly"),
]


@pytest.mark.parametrize("keys, value, words", BAD_VALUES, ids=lambda v: str(v)[:40])
def test_a_bad_value_is_refused(model, keys, value, words):
    config = config_of(model)
    table = config
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    write_config(model, config)
    refused(model, words)


KEYS = [
    *((key,) for key in ("net", "members", "data", "loss", "seed", "files", "format_version")),
    *(("net", key) for key in ("net", "msize", "nunits", "nlayers")),
    *(("data", key) for key in ("distribution", "rmin", "rmax", "det_min")),
    ("files", "model.onnx"),
]


@pytest.mark.parametrize("keys", KEYS, ids="-".join)
def test_a_missing_key_is_refused(model, keys):
    config = config_of(model)
    table = config
    for key in keys[:-1]:
        table = table[key]
    del table[keys[-1]]
    write_config(model, config)
    refused(model)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b'{"net": "\xe9"}', "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a table"),
        (b"3", "not a table"),
        (b"null", "not a table"),
        (b'"text"', "not a table"),
        (b"{}", "not a table"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"1" * 10_000, "not JSON"),
        (b" " * (1 << 20) + b"{}", "more than"),
        (b"\x80\x04\x95", "not JSON"),
    ],
    ids=lambda v: repr(v)[:24],
)
def test_a_malformed_configuration_is_refused(model, data, words):
    (model / "config.json").write_bytes(data)
    refused(model, words)


# --- files that are missing or other ones ------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "member_2.safetensors"])
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    refused(model, f"{name} is missing")
    (model / name).symlink_to("nowhere")
    refused(model, f"{name} is missing")
    (model / name).unlink()
    (model / name).mkdir()
    refused(model, f"{name} is missing")
    (model / name).rmdir()
    os.mkfifo(model / name)  # reading it would wait for ever
    refused(model, f"{name} is missing")


def test_what_is_no_directory(tmp_path, original):
    refused(tmp_path / "nowhere", "no model directory")
    refused(original / "config.json", "no model directory")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "config.json is missing")


@pytest.mark.parametrize("name", ["model.onnx", "member_1.safetensors"])
def test_one_changed_bit_is_noticed(model, name):
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    refused(model, name, "SHA-256 differs")


def test_files_of_enormous_size_are_refused_unread(model):
    with open(model / "model.onnx", "r+b") as file:
        file.truncate(3 << 30)  # sparse
    refused(model, "model.onnx", "more than")


# --- weights -------------------------------------------------------------------------------------


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_never_unpickled(model, tmp_path):
    import torch

    exploded = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(exploded))
    replace(model, "member_1.safetensors", bomb)
    refused(model, "member_1.safetensors", "not a safetensors file")
    torch.save({"weight": Bomb(exploded)}, tmp_path / "weights.pt")
    replace(model, "member_1.safetensors", (tmp_path / "weights.pt").read_bytes())
    refused(model, "member_1.safetensors", "not a safetensors file")
    replace(model, "model.onnx", bomb)
    (model / "config.json").write_bytes((model / "config.json").read_bytes())
    refused(model)
    (model / "config.json").write_bytes(bomb)
    refused(model, "not JSON")
    assert not exploded.exists()
    pickle.loads(bomb)  # the trap does work
    assert exploded.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(model, value):
    tensors = weights(3, 1)
    tensors["body.2.bias"][4] = value
    replace(model, "member_1.safetensors", save(tensors))
    refused(model, "body.2.bias", "not finite")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.bool_])
def test_weights_of_another_dtype(model, dtype):
    tensors = weights(3, 1)
    tensors["body.0.bias"] = tensors["body.0.bias"].astype(dtype)
    replace(model, "member_1.safetensors", save(tensors))
    refused(model, "body.0.bias", np.dtype(dtype).name, "not float32")


def test_bfloat16_weights_which_numpy_lacks(model):
    import torch
    from safetensors.torch import save as save_torch

    tensors = {k: torch.from_numpy(v).bfloat16() for k, v in weights(3, 1).items()}
    replace(model, "member_1.safetensors", save_torch(tensors))
    refused(model, "member_1.safetensors")


def _renamed(tensors):
    tensors["body.0.waist"] = tensors.pop("body.0.weight")
    return tensors


def _extra(tensors):
    return tensors | {"more": np.zeros(1, np.float32)}


def _missing(tensors):
    del tensors["body.4.bias"]
    return tensors


def _shape(tensors):
    tensors["body.0.weight"] = tensors["body.0.weight"].T.copy()
    return tensors


def _empty(tensors):
    return {}


def _other_order(tensors):
    return weights(4, 1)


@pytest.mark.parametrize("spoil", [_renamed, _extra, _missing, _shape, _empty, _other_order])
def test_weights_of_another_network(model, spoil):
    replace(model, "member_1.safetensors", save(spoil(weights(3, 1))))
    refused(model, "weights of member 1 do not fit")


def _header(entries, data=b""):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def _tensor(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


MALFORMED = {
    "empty": b"",
    "text": b"weights",
    "header length of exabytes": struct.pack("<Q", 2**63) + b"{}",
    "header not JSON": struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    "terabytes": _header({"w": _tensor([2**40], [0, 2**42])}, b"1234"),
    "shape and bytes differ": _header({"w": _tensor([10**6, 10**6], [0, 4])}, b"1234"),
    "product overflows": _header({"w": _tensor([2**32, 2**32], [0, 0])}),
    "negative offset": _header({"w": _tensor([1], [-4, 0])}, b"1234"),
    "overlapping": _header({"v": _tensor([1], [0, 4]), "w": _tensor([1], [0, 4])}, b"1234"),
    "bytes left over": _header({"w": _tensor([1], [0, 4])}, b"12345678"),
    "unknown dtype": _header({"w": _tensor([1], [0, 4], "F128")}, b"1234"),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_safetensors(model, data):
    replace(model, "member_2.safetensors", data)
    refused(model, "member_2.safetensors", "not a safetensors file")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_truncated_safetensors(model, part):
    data = (model / "member_2.safetensors").read_bytes()
    replace(model, "member_2.safetensors", data[: int(part * len(data))])
    refused(model, "member_2.safetensors", "not a safetensors file")


# --- the graph -----------------------------------------------------------------------------------


def _node(*words, **options):
    return helper.make_node(*words, **options)


def _two_outputs():
    made = helper.make_graph(
        [_node("Identity", ["A"], ["X"]), _node("Identity", ["A"], ["Y"])],
        "graph",
        [helper.make_tensor_value_info("A", TensorProto.FLOAT, ["b", 3, 3])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["b", 3, 3]) for k in "XY"],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()


def _whole(name, values):
    return numpy_helper.from_array(np.array(values), name)


def _hidden(count):
    """``zeros``: as many indices 0 as said, for three matrices, which no shape inference sees."""
    return [
        _node("Shape", ["A"], ["shape"]),
        _node("ReduceMin", ["shape"], ["least"], keepdims=1),  # 3
        _node("Div", ["least", "3"], ["one"]),
        _node("Mul", ["one", str(count)], ["count"]),
        _node("Expand", ["0", "count"], ["zeros"]),
    ]


HIDING = [_whole(str(k), [k]) for k in range(4)]


def _endless_loop():
    """X <- A for 2^62 times."""
    body = helper.make_graph(
        [_node("Identity", ["go"], ["on"]), _node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("k", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    return graph(
        [_node("Loop", ["times", "", "A"], ["X"], body=body)],
        initializers=[numpy_helper.from_array(np.int64(2**62), "times")],
    )


def _second_operator():
    """A node whose operator is named twice: the last name counts."""
    op_type = b"\x22\x03Add\x22\x04Loop"  # in as many bytes as the inputs and output of the other
    plain = b"\x0a\x01A\x12\x01X\x22\x08Identity"
    data = identity_graph()
    assert data.count(plain) == 1
    return data.replace(plain, op_type + b"\x1a\x03abc")


def _with_function():
    model = onnx.load_from_string(identity_graph())
    model.functions.add(name="f", domain="")
    return model.SerializeToString()


def _missing_numbers():
    return TensorProto(
        name="W", data_type=TensorProto.FLOAT, dims=[100_000, 100_000], raw_data=b"1234"
    )


BAD_GRAPHS = {
    "garbage": (b"\x00\xffgarbage" * 100, "does not load"),
    "empty": (b"", "does not load"),
    "text": (b"model", "does not load"),
    "truncated": (newton_graph(3)[:1000], "does not load"),
    "another order": (newton_graph(4), "belongs"),
    "order not fixed": (identity_graph("n"), "belongs"),
    "float64": (identity_graph(kind=TensorProto.DOUBLE), "belongs"),
    "float16": (identity_graph(kind=TensorProto.FLOAT16), "belongs"),
    "int64": (identity_graph(kind=TensorProto.INT64), "belongs"),
    "input's name": (identity_graph(input_name="B"), "belongs"),
    "one matrix only": (identity_graph(batch=1), "belongs"),
    "two outputs": (_two_outputs(), "belongs"),
    "foreign operator": (
        graph([_node("Shell", ["A"], ["X"], domain="com.example")]),
        "does not load",
    ),
    "one answer for all": (
        graph(
            [*_hidden(1), _node("Gather", ["A", "zeros"], ["X"], axis=0)],
            initializers=HIDING,
        ),
        "gave shape (1, 3, 3) for matrices of shape",
    ),
    "fails when it runs": (
        graph(
            [
                *_hidden(2),
                _node("Gather", ["A", "zeros"], ["two"], axis=0),
                _node("Add", ["A", "two"], ["X"]),
            ],
            initializers=HIDING,
        ),
        "does not run",
    ),
    "a loop": (_endless_loop(), "operator 'Loop'"),
    "a branch": (graph([_node("If", ["A"], ["X"])]), "operator 'If'"),
    "a scan": (graph([_node("Scan", ["A"], ["X"], num_scan_inputs=1)]), "operator 'Scan'"),
    "a hidden operator": (_second_operator(), "operator 'Add::Loop'"),
    "a function": (_with_function(), "does not load (it holds functions)"),
    "two graphs": (newton_graph(3) + newton_graph(3), "it holds 2 graphs"),
    "a giant constant": (
        graph([_node("Expand", ["A", "s"], ["X"])], initializers=[_whole("s", [200_000] * 2)]),
        "whole number beyond 64",
    ),
    "a giant constant in words": (
        graph([_node("ConstantOfShape", ["A"], ["X"])]),
        "operator 'ConstantOfShape'",
    ),
    "a constant that is not there": (
        graph([_node("Add", ["A", "W"], ["X"])], initializers=[_missing_numbers()]),
        "a tensor of shape (100000, 100000) comes with 1 elements",
    ),
    "a graph in an attribute": (
        graph([_node("Identity", ["A"], ["X"], body=onnx.load_from_string(newton_graph(3)).graph)]),
        "attribute holds a tensor or a graph",
    ),
    "a constant as attribute": (
        graph([_node("Identity", ["A"], ["X"], value=_whole("v", [1]))]),
        "attribute holds a tensor or a graph",
    ),
}


@pytest.mark.parametrize("data, words", BAD_GRAPHS.values(), ids=BAD_GRAPHS.keys())
def test_a_bad_graph_is_refused(model, data, words):
    replace(model, "model.onnx", data)
    refused(model, "model.onnx", words)


def external(where: str, size: int = 36) -> bytes:
    """A graph X = A W whose W is kept in another file."""
    W = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[3, 3])
    W.data_location = TensorProto.EXTERNAL
    for key, value in (("location", where), ("offset", "0"), ("length", str(size))):
        W.external_data.add(key=key, value=value)
    return graph([_node("MatMul", ["A", "W"], ["X"])], initializers=[W])


@pytest.mark.parametrize("place", ["beside", "working directory", "above", "absolute", "passwd"])
def test_a_graph_never_reads_another_file(model, tmp_path, monkeypatch, place):
    """onnxruntime itself would: relative to the working directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    secret = {
        "beside": model / "secret.bin",
        "working directory": here / "secret.bin",
        "above": tmp_path / "secret.bin",
        "absolute": tmp_path / "secret.bin",
        "passwd": None,
    }[place]
    if secret is not None:
        secret.write_bytes(np.arange(9, dtype=np.float32).tobytes())
    name = {"above": "../secret.bin", "absolute": str(secret), "passwd": "/etc/passwd"}
    replace(model, "model.onnx", external(name.get(place, "secret.bin")))
    refused(model, "model.onnx refers to weights outside the file")


def test_the_word_location_in_a_name_is_no_file(model):
    """It is the field that says where a tensor is kept, and not the bytes of a name."""
    nodes = [_node("Identity", ["A"], ["location"]), _node("Identity", ["location"], ["X"])]
    replace(model, "model.onnx", graph(nodes))
    opened = open_model(model)
    assert Session(opened)(np.ones((2, 3, 3))).shape == (2, 3, 3)


def test_keys_that_are_there_twice(model):
    text = (model / "config.json").read_text()
    for twice in ('"seed": 1,', '"net": {},'):
        (model / "config.json").write_text(text.replace("{", "{" + twice, 1))
        refused(model, "config.json is not JSON", "is there twice")


@pytest.mark.parametrize("net", NET_NAMES)
@pytest.mark.parametrize("order", [1, 2, 3, 7, 20])
def test_the_shapes_of_weights_are_those_of_the_networks(net, order):
    config = NetConfig(net, 0 if net == "spectral" else order, 8, 2)
    state = build(config).state_dict()
    assert weight_shapes(config) == {k: tuple(v.shape) for k, v in state.items()}


@pytest.mark.parametrize("spoil", ["missing", "shape", "extra"])
def test_spectral_weights_that_do_not_fit(tmp_path, spoil):
    """They are used without torch, and so without its check."""
    folder = shutil.copytree(bundled_folder() / "spectral", tmp_path / "s")
    tensors = load((folder / "member_1.safetensors").read_bytes())
    if spoil == "missing":
        del tensors["gate.3.bias"]
    elif spoil == "shape":
        tensors["mix.0.weight"] = tensors["mix.0.weight"][:3]
    else:
        tensors["more"] = np.zeros(1, np.float32)
    replace(folder, "member_1.safetensors", save(tensors))
    with pytest.raises(ModelError, match="weights of member 1 do not fit"):
        Inverter.from_pretrained(folder)


# --- fuzzing -------------------------------------------------------------------------------------


def mutations(data: bytes, rng) -> bytes:
    """The bytes with a few of them changed, removed, repeated or moved."""
    spoiled = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(spoiled) or 1))
        length = int(rng.integers(1, 20))
        kind = rng.integers(5)
        if kind == 0 and spoiled:
            spoiled[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            spoiled[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del spoiled[at : at + length]
        elif kind == 3:
            spoiled[at:at] = spoiled[at : at + length]
        elif rng.random() < 0.2:
            del spoiled[at:]
    return bytes(spoiled)


def fuzz(folder, rounds, seed):
    """Spoil one file at a time: what is not refused in a sentence must work."""
    rng = np.random.default_rng(seed)
    files = ["config.json", "model.onnx", "member_1.safetensors"]
    originals = {name: (folder / name).read_bytes() for name in files}
    refusals = longest = 0
    for _ in range(rounds):
        name = files[rng.integers(3)]
        spoiled = mutations(originals[name], rng)
        if name == "config.json":
            (folder / name).write_bytes(spoiled)
        else:
            replace(folder, name, spoiled)
        try:
            opened = open_model(folder)
            read_weights(opened, 1)
            with np.errstate(all="ignore"):
                Session(opened)(np.ones((2, 3, 3)))
        except ModelError as error:
            refusals += 1
            longest = max(longest, len(str(error)))
        finally:
            for file in ("config.json", name):
                (folder / file).write_bytes(originals[file])
    assert longest < 3000
    return refusals


def test_spoiled_directories_are_refused_or_work(tmp_path):
    folder = make_model(tmp_path / "m", members=1)
    assert fuzz(folder, 1500, seed=1) > 750


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_more_spoiled_directories(tmp_path, seed):
    folder = shutil.copytree(bundled_folder() / "feedback-3", tmp_path / "m")
    assert fuzz(folder, 3000, seed=100 + seed) > 500
