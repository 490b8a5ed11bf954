"""Exported files in other runtimes: onnxruntime here, the others under the marker ``runtimes``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import runtimes  # noqa: E402
import runtimes_files  # noqa: E402
import runtimes_kinds  # noqa: E402
import runtimes_page  # noqa: E402

ENVIRONMENTS = Path(os.environ.get("DMX_RUNTIMES", runtimes.ENVIRONMENTS))
# Core ML converts on Linux but runs on a Mac.
RUN_HERE = [name for name in runtimes_files.TITLES if name != "coreml"]


@pytest.mark.parametrize("opset", [17, 18, 21, 25])
def test_onnxruntime_runs_every_opset(opset, tmp_path):
    row = runtimes.measure_opset(opset, tmp_path, 20)
    assert row.converts, row.reason
    assert row.runs, row.reason
    assert row.in_units is not None
    assert row.in_units < 4


def test_a_wrong_inverse_is_not_green(tmp_path):
    for file in runtimes_files.FILES:
        A = runtimes_files.matrices(file, 5)
        np.save(tmp_path / f"{file.name}.npy", A)
        X = runtimes_kinds.KINDS[file.kind].answer(A.astype(np.float64)).astype(np.float32)
        if file.kind in ("eigh", "solve"):
            X[3, -1] *= 2
        if file is runtimes_files.FILES[1]:
            X[0] *= 1.001
        if file is runtimes_files.FILES[2]:
            X[2, 1, 1] = np.nan
        np.save(tmp_path / f"tinygrad-{file.name}.npy", X)
    found = {f.name: {"converts": True, "runs": True, "us": 1.0} for f in runtimes_files.FILES}
    rows = runtimes.rows_of("tinygrad", {"version": "1", "files": found}, tmp_path)
    assert [row.runs for row in rows[:4]] == [True, False, False, True]
    kinds = {file.kind: row.runs for file, row in zip(runtimes_files.FILES, rows, strict=True)}
    assert {kind for kind, runs in kinds.items() if not runs} == {"eigh", "solve"}
    lines = [str(runtimes_page.cells(row)) for row in rows]
    assert [line.count("✅") for line in lines[:4]] == [2, 1, 1, 2]
    assert "nan" not in lines[2].split("wrong")[0]


def test_what_is_missing_keeps_a_row_with_the_reason(tmp_path):
    (tmp_path / "tvm").mkdir()
    (tmp_path / "tvm" / "failed").write_text("ERROR: no such | wheel")
    for name, reason in (("iree", "not installed"), ("tvm", "does not install: ERROR: no such /")):
        found = runtimes.run_one(name, tmp_path, tmp_path, 1)
        rows = runtimes.rows_of(name, found, tmp_path)
        assert len(rows) == len(runtimes_files.FILES)
        for row in rows:
            assert not row.converts
            assert not row.runs
            assert row.reason.startswith(reason)
            assert "✅" not in str(runtimes_page.cells(row))
            assert "|" not in "".join(runtimes_page.cells(row).values())


def test_differences_are_those_of_matrices_made_by_hand():
    A = np.array([[[2.0, 0.0], [0.0, 1.0]]], dtype=np.float32)
    X = np.array([[[0.5, 0.0], [0.0, 1.0 + 2.0**-10]]])
    error, units = runtimes_files.differences(A, X)
    assert error == pytest.approx(2.0**-10 / np.sqrt(1.25))
    assert units == pytest.approx(error / (2 * 2.0**-24))


@pytest.mark.parametrize(
    ("net", "order"), [("elimination", 5), ("elimination", 9), ("iterative", 5), ("feedback", 5)]
)
def test_the_interpreter_computes_what_the_graph_does(net, order, tmp_path):
    """What LiteRT, Core ML and ExecuTorch convert."""
    from deepmatrixinversion.export.inverse import export_onnx
    from runtimes_torch import FromOnnx

    export_onnx(order, tmp_path / "x.onnx", net=net)
    A = runtimes_files.matrices(runtimes_files.File("", order, net, 100, ""), 6)
    X, _, converged = FromOnnx(str(tmp_path / "x.onnx"))(torch.from_numpy(A))
    assert converged.all()
    assert runtimes_files.differences(A, X.numpy())[1] < 4


@pytest.mark.parametrize("kind", ["inverse", "det", "eigh", "solve"])
def test_models_of_each_kind_agree_in_onnxruntime_and_the_interpreter(kind, tmp_path):
    from runtimes_torch import FromOnnx
    from runtimes_workers import onnxruntime

    path = tmp_path / "x.onnx"
    A = runtimes_files.matrices(runtimes_files.File("", 4, "", 100, "", kind), 6)
    runtimes_kinds.write(kind, A, path)
    for X in (onnxruntime(path, A)(A), FromOnnx(str(path))(torch.from_numpy(A))[0].numpy()):
        assert runtimes_files.differences(A, X, kind)[1] < 16


def test_a_run_goes_on_from_what_a_folder_has(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes_files, "FILES", runtimes_files.FILES[:2])
    runtimes_files.prepare(tmp_path, 5)
    (tmp_path / "4-adjugate.npy").unlink()
    times = [path.stat().st_mtime_ns for path in tmp_path.glob("*.onnx")]
    found = {"version": "1", "files": {"4-adjugate": {"converts": True, "runs": False}}}
    (tmp_path / "onnxruntime.json").write_text(json.dumps(found))
    runtimes_files.prepare(tmp_path, 5)
    assert times == [path.stat().st_mtime_ns for path in tmp_path.glob("*.onnx")]
    found = runtimes.run_one("onnxruntime", tmp_path, tmp_path, 100)
    assert not found["files"]["4-adjugate"]["runs"]
    assert found["files"]["8-elimination"]["runs"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    runtimes_files.prepare(folder, 50)
    return folder


@pytest.mark.runtimes
@pytest.mark.parametrize("name", RUN_HERE)
def test_runtime_agrees_with_float64(name, files):
    found = runtimes.run_one(name, files, ENVIRONMENTS.absolute(), 300)
    if found.get("reason") == "not installed":
        pytest.skip("not installed: make runtimes")
    assert "reason" not in found, found["reason"]
    for row in runtimes.rows_of(name, found, files):
        assert row.converts, row
        assert row.runs, row
        assert row.us is not None


@pytest.mark.runtimes
def test_core_ml_converts(files):
    found = runtimes.run_one("coreml", files, ENVIRONMENTS.absolute(), 300)
    if found.get("reason") == "not installed":
        pytest.skip("not installed: make runtimes")
    rows = runtimes.rows_of("coreml", found, files)
    assert all(row.converts and not row.runs for row in rows), rows
    assert all((files / f"{f.name}.mlpackage").is_dir() for f in runtimes_files.FILES)


@pytest.mark.runtimes
def test_the_command_writes_the_page(tmp_path):
    page, rows = tmp_path / "runtimes.md", tmp_path / "rows.json"
    words = ["--only", "onnxruntime", "--opsets", "18", "18", "--count", "20"]
    words += ["--markdown", str(page), "--json", str(rows)]
    script = ROOT / "benchmarks" / "runtimes.py"
    subprocess.run([sys.executable, str(script), *words], check=True, cwd=tmp_path)
    assert page.read_text().startswith("# Exported files in other runtimes\n")
    count = len(runtimes_files.FILES) + 1
    assert [row["runs"] for row in json.loads(rows.read_text())] == [True] * count
