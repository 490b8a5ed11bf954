"""The README's promises: its quick start runs as it stands, its file tree is the real one."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import deepmatrixinversion

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_quick_start_runs_and_prints_true():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert len(code.splitlines()) == 5
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stdout.strip()) == (0, "True"), result.stderr


def test_file_tree_names_every_package_folder_and_nothing_else():
    package = Path(deepmatrixinversion.__file__).parent
    tree = README.split("## The file tree")[1].split("## ")[0]
    inside = tree.split("src/deepmatrixinversion/")[1].split("tests/")[0]
    named = set(re.findall(r"^      (\w+/|\w+\.py) ", inside, flags=re.M))
    folders = {f"{p.name}/" for p in package.iterdir() if (p / "__init__.py").exists()}
    assert {n for n in named if n.endswith("/")} == folders
    assert all((package / name).exists() for name in named)
    for top in re.findall(r"^    (\w+/|\w+\.txt) ", tree, flags=re.M):
        assert (ROOT / top).exists(), top


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`make (\w+)`", README))))
def test_make_targets_exist(command):
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), flags=re.M)


def test_contributing_commands_are_those_of_ci():
    ci = re.findall(r"^make [\w-]+", (ROOT / ".ci/run").read_text(), flags=re.M)
    named = re.findall(r"^    (make [\w-]+)", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M)
    assert ci == named


PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]
SOURCES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "examples").rglob("*.py"), ROOT / "jobs/run.x"]


def test_what_is_to_be_installed_can_be():
    """On no index is this package: pages speak to who has a checkout, messages to who has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = set(project["optional-dependencies"])
    for path in (*PAGES, *SOURCES):
        wanted = "deepmatrixinversion" if path.is_relative_to(ROOT / "src") else "."
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<!pip install ')deepmatrixinversion\[", text), path
        for command in re.findall(r"pip install ([^\n]*)", text):
            for name, extras in re.findall(r"(\.|deepmatrixinversion)\[([\w,]+)\]", command):
                assert name == wanted, f"{path}: {command}"
                assert set(extras.split(",")) <= known, f"{path}: {command}"
