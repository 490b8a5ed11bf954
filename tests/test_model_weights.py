"""Weights: pickles, wrong dtypes, names and shapes, and malformed safetensors."""

from __future__ import annotations

import json
import pickle
import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.models.config import NET_NAMES, NetConfig
from deepmatrixinversion.models.weights import weight_shapes
from deepmatrixinversion.models.zoo import bundled_folder
from deepmatrixinversion.nets import build
from models_for_tests import (
    replace,
    weights,
)
from spoiled_models import refused


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
        del tensors["gate.1.bias"]
    elif spoil == "shape":
        tensors["mix.0.weight"] = tensors["mix.0.weight"][:3]
    else:
        tensors["more"] = np.zeros(1, np.float32)
    replace(folder, "member_1.safetensors", save(tensors))
    with pytest.raises(ModelError, match="member 1"):
        Inverter.from_pretrained(folder)
