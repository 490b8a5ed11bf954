"""The site's sources: every public name has its place, tutorials run, links are really checked."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PUBLIC = {
    "": None,
    ".matrices": None,
    ".kernel": None,
    ".training": None,
    ".torch": "torch",
    ".export": "torch",
    ".nets": "torch",
    ".dask": "dask.array",
    ".jax": "jax",
}
"""What users import from, and the library that it takes."""
TUTORIALS = sorted(p for p in (DOCS / "tutorials").glob("*.md") if p.stem != "index")


def load(name):
    """A script of ``docs`` as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented():
    """What the reference names, with the module that it stands under."""
    text = (DOCS / "reference" / "index.rst").read_text(encoding="utf-8")
    names = set(re.findall(r"``(deepmatrixinversion\.[\w.]+)``", text))
    names |= {
        f"deepmatrixinversion.{n}" for n in re.findall(r"``((?:matrices|kernel)\.\w+)``", text)
    }
    module = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif module and (found := re.fullmatch(r"   ([A-Za-z_][\w.]*)", line)):
            names.add(f"{module}.{found[1]}")
    return names


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_is_in_the_reference(package):
    if PUBLIC[package]:
        pytest.importorskip(PUBLIC[package])
    module = import_module(f"deepmatrixinversion{package}")
    names = documented()
    # A name that the package itself exports as well stands there once.
    top = set(import_module("deepmatrixinversion").__all__)
    same = top if package in (".matrices", ".kernel") else set()
    missing = {n for n in module.__all__ if f"{module.__name__}.{n}" not in names} - same
    assert not missing


def test_the_reference_names_nothing_else():
    for name in documented():
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last), name


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, id=p.stem, marks=pytest.mark.slow if p.stem == "export" else ())
        for p in TUTORIALS
    ],
)
def test_a_tutorial_runs_as_it_stands(page, tmp_path):
    if page.stem == "export":
        pytest.importorskip("torch")
    blocks = re.findall(
        r"^```(python|bash)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
    )
    assert len(blocks) >= 3
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for language, code in blocks:
        words = (
            [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
        )
        done = subprocess.run(
            [*words, code],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        if "[17]" in code:
            assert done.stdout.startswith("[17]\n")


def test_tutorials_are_those_of_the_home_page():
    home = (DOCS / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(tutorials/(\w+)\.md\)", home)) == {p.stem for p in TUTORIALS}
    assert len(TUTORIALS) == 3


@pytest.mark.parametrize(
    "body, fault",
    [
        ("<a href='b.html'>to a page</a> <a href='b.html#there'>to a place</a>", ""),
        ("<a href='https://example.org'>is not asked</a>", ""),
        ("<a href='c.html'>", "c.html leads to no file"),
        ("<a href='b.html#elsewhere'>", "leads to no place"),
        ("<img src='none.png'>", "none.png leads to no file"),
        ("<script src='https://example.org/x.js'></script>", "is loaded from elsewhere"),
    ],
)
def test_links_are_followed(tmp_path, body, fault):
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text("<h1 id='there'>There</h1>")
    found = load("links").faults(tmp_path)
    assert len(found) == bool(fault)
    assert fault in "".join(found)


def test_an_archive_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    vendor = load("vendor")
    monkeypatch.setattr(vendor, "CACHE", tmp_path)
    package = vendor.PACKAGES[0]
    (tmp_path / f"{package.name}-{package.version}.tgz").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="not the archive that was pinned"):
        vendor.archive(package)
