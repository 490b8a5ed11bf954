"""What describes a release in other files says what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def pythons():
    found = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert len(found) >= 4
    return found


def test_every_python_that_is_named_is_tested_on_three_systems():
    matrix = load(".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == pythons()
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert PROJECT["requires-python"] == f">={pythons()[0]}"


def test_every_python_that_is_named_gets_wheels():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    wheels = tool["cibuildwheel"]["build"].split()
    assert wheels == [f"cp{python.replace('.', '')}-*" for python in pythons()]


def test_publishing_needs_no_password():
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    publish = load(".github/workflows/release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in text


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    recipe = load("conda/recipe.yaml")
    wanted = {"python", *(re.split(r"[>=]", d)[0] for d in PROJECT["dependencies"])}
    asked = {line.split()[0].removesuffix("-base") for line in recipe["requirements"]["run"]}
    assert asked == wanted
    commands = recipe["build"]["python"]["entry_points"]
    assert commands == [f"{name} = {where}" for name, where in PROJECT["scripts"].items()]


def test_the_citation_names_the_package_and_its_licence():
    citation = load("CITATION.cff")
    assert citation["title"].lower() == PROJECT["name"]
    assert " AND ".join(citation["license"]) == PROJECT["license"]


def test_what_poetry_reads_says_the_same():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tool["poetry"]["version"] == tool["setuptools_scm"]["fallback_version"]
    extras = PROJECT["optional-dependencies"]
    for name in set(extras) - {"dev", "benchmarks", "cuda"}:
        assert set(extras[name]) <= set(extras["dev"]), name
