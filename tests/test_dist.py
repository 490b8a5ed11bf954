"""Wheel and sdist: built once, installed into an environment of their own, and tried there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.dist

ROOT = Path(__file__).parents[1]
GIT = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
UNTAGGED = r"0\.1(\.0)?\.dev\d+\+g[0-9a-f]+"
QUICK = """\
import numpy as np, deepmatrixinversion as d
from deepmatrixinversion import inv_ex, kernel
A = np.random.default_rng(0).uniform(-1, 1, (1000, 3, 3))
X, certificate, steps = inv_ex(A)
print(d.__version__, certificate.certified.all(), kernel.available(), d.__file__)
"""


def run(*words, cwd, **environment):
    """What a command prints; it must succeed, and sees nothing of this checkout."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy(target):
    """The files under version control as they stand here, without git."""
    names = run("git", "ls-files", "--cached", cwd=ROOT).splitlines()
    for name in names:
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def clone(target, *tags):
    """A repository of those files, with one commit and these tags."""
    copy(target)
    run(*GIT, "init", "-q", cwd=target)
    run(*GIT, "add", "-A", cwd=target)
    run(*GIT, "commit", "-q", "-m", "all", cwd=target)
    for tag in tags:
        run(*GIT, "tag", tag, cwd=target)
    return target


def version_of(tree):
    """The version of this tree's sdist; nothing is compiled for it."""
    run(sys.executable, "-m", "build", "--sdist", "--outdir", tree / "dist", tree, cwd=tree)
    (sdist,) = (tree / "dist").iterdir()
    return sdist.name.removeprefix("deepmatrixinversion-").removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist of a tagged repository, and the wheel that was made from the sdist."""
    tree = clone(tmp_path_factory.mktemp("tagged"), "v9.8.7")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, tree, cwd=tree, DMX_REQUIRE_KERNEL="1")
    return out


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Folder of the commands of a fresh environment with the wheel."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    commands = home / "bin"
    (wheel,) = built.glob("*.whl")
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    constraint = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    run(commands / "python", *words, cwd=home, **constraint)
    return commands


def test_names_have_the_version_of_the_tag(built):
    names = sorted(path.name for path in built.iterdir())
    assert len(names) == 2
    assert names[1] == "deepmatrixinversion-9.8.7.tar.gz"
    assert re.fullmatch(r"deepmatrixinversion-9\.8\.7-cp3\d+-cp3\d+-\w+\.whl", names[0])


def test_the_wheel_holds_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {
        "deepmatrixinversion",
        "deepmatrixinversion-9.8.7.dist-info",
    }
    package = ROOT / "src" / "deepmatrixinversion"
    listed = run("git", "ls-files", cwd=package).splitlines()
    assert {f"deepmatrixinversion/{name}" for name in listed} <= names
    extra = [n for n in names if n.startswith("deepmatrixinversion/")]
    assert len(extra) == len(listed) + 1  # the compiled kernel
    assert any("/licenses/LICENSE" in name for name in names)


def test_the_sdist_has_what_a_packager_needs(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    needed = ("PKG-INFO", "src/kernel/CMakeLists.txt", "tests/test_dist.py", "Makefile", "LICENSE")
    assert names.issuperset(needed)
    assert not any(name.endswith(".so") or name.startswith("build/") for name in names)


def test_an_sdist_keeps_its_version_without_git(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        tar.extractall(tmp_path, filter="data")
    assert version_of(tmp_path / "deepmatrixinversion-9.8.7") == "9.8.7"


def test_a_fresh_environment_inverts(installed, tmp_path):
    version, certified, kernel, file = run(installed / "python", "-c", QUICK, cwd=tmp_path).split(
        maxsplit=3
    )
    assert (version, certified, kernel) == ("9.8.7", "True", "True")
    assert Path(file.strip()).is_relative_to(installed.parent)


def test_the_commands_are_installed(installed, tmp_path):
    assert "9.8.7" in run(installed / "dmxinvert", "--version", cwd=tmp_path)
    run(installed / "dmxdatasetgenerator", 3, 100, -1, 1, "set", cwd=tmp_path)
    pair = ("--inputmx", "set_matrices_3x3.mx", "--inverseout", "x.mx")
    run(installed / "dmxinvert", *pair, cwd=tmp_path)
    words = ("set_matrices_3x3.mx", "x.mx", "invertible")
    assert "Dataset valid" in run(installed / "dmxdatasetverify", *words, cwd=tmp_path)


def test_training_without_torch_is_one_sentence(installed, tmp_path):
    done = subprocess.run(
        [installed / "dmxtrain", "--msize", "3"], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_copy_without_git_has_the_fallback(tmp_path):
    assert version_of(copy(tmp_path / "copy")) == "0.1.0.dev0"


def test_a_repository_without_tags_builds(tmp_path):
    assert re.fullmatch(UNTAGGED, version_of(clone(tmp_path / "untagged")))


def test_a_shallow_clone_builds(tmp_path):
    whole = clone(tmp_path / "whole", "v1.2.3")
    run(*GIT, "commit", "-q", "--allow-empty", "-m", "more", cwd=whole)
    run("git", "clone", "-q", "--depth", 1, f"file://{whole}", tmp_path / "shallow", cwd=tmp_path)
    assert re.fullmatch(UNTAGGED, version_of(tmp_path / "shallow"))
