"""Models on the hub: the real client against a server on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from deepmatrixinversion.cli.invert import main
from deepmatrixinversion.matrices import read_matrices, write_matrices
from deepmatrixinversion.models import zoo
from hub_server import Hub
from models_for_tests import make_model, residual_bound, well_conditioned

OLD, NEW, BROKEN, BARE = ("a" * 39 + d for d in "1234")
WANTED = {"config.json", "model.onnx", "member_1.safetensors", "member_2.safetensors"}
UNWANTED = {"evil.py", "weights.pkl", "README.md", "sub/config.json", "training.csv"}


def contents(folder):
    """A repository's files: a model, and what must not be downloaded."""
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert set(files) == WANTED
    return files | dict.fromkeys(UNWANTED, b"raise SystemExit('run')")


# Calls of dmxinvert, read as JSON, in a process whose environment the client was imported with.
CLIENT = """
import contextlib, io, json, sys, traceback
from deepmatrixinversion.cli.invert import main
for words in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(words)
        except BaseException:
            status = None
            traceback.print_exc()
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""


class Client:
    """dmxinvert with a hub, in processes of their own."""

    def __init__(self, hub, folder):
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        self.environment |= {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def invert(self, *models):
        """(status, stdout, stderr) of inverting a.npy into x0.npy, x1.npy, … with each model."""
        calls = []
        for k, model in enumerate(models):
            words = ["--inputmx", "a.npy", "--inverseout", f"x{k}.npy", "--report", f"r{k}.json"]
            calls.append([*words, "--model", model])
        done = subprocess.run(
            [sys.executable, "-c", CLIENT],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """One online process, then, with the server stopped, an offline one; everything is kept."""
    folder = tmp_path_factory.mktemp("hub")
    old = contents(make_model(folder / "old", seed=1))
    new = contents(make_model(folder / "new", seed=2))
    broken = new | {"model.onnx": old["member_1.safetensors"]}
    bare = {"README.md": b"no model here"}
    hub = Hub(
        {
            "user/repo": ({"main": NEW, "v1": OLD}, {OLD: old, NEW: new}),
            "user/broken": ({"main": BROKEN}, {BROKEN: broken}),
            "user/bare": ({"main": BARE}, {BARE: bare}),
            "user/cut": ({"main": NEW}, {NEW: new}),
        }
    )
    client = Client(hub, folder)
    A = well_conditioned(50)
    write_matrices(folder / "a.npy", A)
    online = ["user/repo", "user/repo@v1", f"user/repo@{OLD}", "user/repo@v9", "user/none"]
    online += ["user/broken", "user/bare", "user/cut", "user/repo@main"]
    results = dict(zip(online, client.invert(*online), strict=True))
    asked = list(hub.asked)
    answers = {model: read_matrices(folder / f"x{k}.npy") if results[model][0] == 0 else None
               for k, model in enumerate(online)}  # fmt: skip
    reports = {model: json.loads((folder / f"r{k}.json").read_text())
               for k, model in enumerate(online) if results[model][0] == 0}  # fmt: skip
    hub.stop()
    offline = ["user/repo@v1", "user/repo", f"user/repo@{OLD}", "user/other", "user/repo@v2"]
    later = dict(zip(offline, client.invert(*offline), strict=True))
    return {"A": A, "online": results, "offline": later, "asked": asked, "answers": answers,
            "reports": reports, "cache": folder / "cache"}  # fmt: skip


def one_sentence(result):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert len(err) < 1000
    return err


@pytest.mark.parametrize(
    "model, commit",
    [
        ("user/repo", NEW),
        ("user/repo@main", NEW),
        ("user/repo@v1", OLD),
        (f"user/repo@{OLD}", OLD),
    ],
)
def test_a_revision_is_resolved_printed_and_used(session, model, commit):
    status, out, err = session["online"][model]
    assert status == 0
    assert err == f"model user/repo@{commit}\n"
    assert "matrices" in out
    A, X = session["A"], session["answers"][model]
    residuals = np.linalg.norm(np.eye(3) - A @ X, axis=(1, 2))
    assert (residuals <= residual_bound(A, X)).all()
    assert session["reports"][model]["model"] == f"user/repo@{commit}"


def test_only_data_files_are_downloaded(session):
    taken = {a.split("/resolve/")[1].split("/", 1)[1] for a in session["asked"] if "/resolve/" in a}
    assert taken == WANTED
    for snapshot in session["cache"].glob("hub/models--user--repo/snapshots/*"):
        assert {str(p.relative_to(snapshot)) for p in snapshot.rglob("*")} == WANTED
    names = {p.name for p in session["cache"].rglob("*")}
    assert not names & {"evil.py", "weights.pkl", "README.md"}


@pytest.mark.parametrize("model", ["user/repo", "user/repo@v1", f"user/repo@{OLD}"])
def test_without_the_hub_the_cache_serves(session, model):
    assert session["offline"][model] == session["online"][model] or (
        # the times in the table differ
        session["offline"][model][0] == 0
        and session["offline"][model][2] == session["online"][model][2]
    )


@pytest.mark.parametrize("model", ["user/other", "user/repo@v2"])
def test_without_the_hub_and_not_in_the_cache(session, model):
    assert f"{model}: the hub cannot be reached" in one_sentence(session["offline"][model])


def test_an_unknown_repository(session):
    err = one_sentence(session["online"]["user/none"])
    assert re.search("user/none: .* no such repository", err)


def test_an_unknown_revision(session):
    err = one_sentence(session["online"]["user/repo@v9"])
    assert re.search("user/repo@v9: .* no such revision", err)


def test_a_corrupt_model(session):
    err = one_sentence(session["online"]["user/broken"])
    assert "model.onnx" in err
    assert "SHA-256" in err


def test_a_repository_without_a_model(session):
    err = one_sentence(session["online"]["user/bare"])
    assert re.search("user/bare: .* no model", err)


def test_a_connection_that_breaks_off(session):
    assert "user/cut: " in one_sentence(session["online"]["user/cut"])


def test_without_the_extra(monkeypatch, tmp_path, capsys):
    for name in [m for m in sys.modules if m.split(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"deepmatrixinversion\[hub\]"):
        zoo.locate("user/repo")
    write_matrices(tmp_path / "a.npy", well_conditioned(1))
    words = ["--inputmx", str(tmp_path / "a.npy"), "--inverseout", str(tmp_path / "x.npy")]
    status = main([*words, "--model", "user/repo"])
    out, err = capsys.readouterr()
    assert "pip install 'deepmatrixinversion[hub]'" in one_sentence((status, out, err))
    assert not (tmp_path / "x.npy").exists()
