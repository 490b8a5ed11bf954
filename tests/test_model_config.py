"""config.json: every bad value, missing key and malformed document is refused in one sentence."""

from __future__ import annotations

import json

import pytest

from spoiled_models import refused


def config_of(model):
    return json.loads((model / "config.json").read_text())


def write_config(model, config):
    (model / "config.json").write_text(json.dumps(config))


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
