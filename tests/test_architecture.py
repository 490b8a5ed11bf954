"""Imports point down the list of packages, and torch stays where it belongs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import deepmatrixinversion

ROOT = Path(deepmatrixinversion.__file__).parent
NAME = "deepmatrixinversion"

# From the top down; a module may import its own package and what stands below it.
LAYERS = [
    "cli",
    "training",
    "torch",
    "jax",
    "dask",
    "export",
    "inference",
    "stores",
    "reporting",
    "nets",
    "models",
    "prior",
    "spectral",
    "matrices",
    "linalg",
    "kernel",
]
FOUNDATION = {"atomic", "errors", "runtime", "signals", "version"}
TORCH = {"nets", "training", "export", "torch"}
TORCH_NAMES = {"torch", "onnx", "onnxscript", "lightning", "lightning_fabric", "tensorboard"}

MODULES = sorted(ROOT.rglob("*.py"))

CHECKOUT = Path(__file__).parents[1]
CODE = {".py", ".cpp", ".h", ".cuh", ".mjs", ".js"}
MOST_LINES = 300


def nodes(tree: ast.AST, within_functions: bool):
    """Every node below ``tree``; with False, none of what runs only when a function is called."""
    for node in ast.iter_child_nodes(tree):
        if within_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from nodes(node, within_functions)


def imports(path: Path, within_functions: bool = True):
    """(dotted name, line) of everything that a module imports."""
    package = (NAME, *path.relative_to(ROOT).parts[:-1])
    for node in nodes(ast.parse(path.read_text()), within_functions):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def layer(parts) -> str:
    """The package, or the module of the foundation, that a dotted name starts with."""
    return parts[0].removesuffix(".py") if parts else ""


@pytest.fixture(params=MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def module(request):
    return request.param


def test_every_package_is_in_the_list():
    packages = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
    files = {p.stem for p in ROOT.glob("*.py")} - {"__init__"}
    assert packages <= set(LAYERS)
    assert files <= FOUNDATION
    assert len(MODULES) > 40


def test_imports_point_down(module):
    own = layer(module.relative_to(ROOT).parts)
    if own == "__init__":
        return  # the package's own surface takes from everywhere
    for name, line in imports(module):
        parts = name.split(".")
        if parts[0] != NAME:
            continue
        other = layer(parts[1:])
        where = f"{module.relative_to(ROOT)}:{line} imports {name}"
        if other in FOUNDATION:
            continue
        assert other in LAYERS, where
        assert own not in FOUNDATION, where
        assert LAYERS.index(own) <= LAYERS.index(other), where


def test_torch_stays_in_its_packages(module):
    own = layer(module.relative_to(ROOT).parts)
    if own in TORCH:
        return
    lazily = set()
    if module.parent == ROOT / "cli" and module.stem in ("train", "export"):  # within a function
        lazily = set(imports(module)) - set(imports(module, within_functions=False))
    for name, line in sorted({*imports(module)} - lazily):
        where = f"{module.relative_to(ROOT)}:{line} imports {name}"
        assert name.split(".")[0] not in TORCH_NAMES, where


def test_what_needs_torch_is_imported_within_functions_only(module):
    """At the top of a module outside those packages, none of them may be named either."""
    own = layer(module.relative_to(ROOT).parts)
    if own in TORCH:
        return
    for name, line in imports(module, within_functions=False):
        parts = name.split(".")
        where = f"{module.relative_to(ROOT)}:{line} imports {name}"
        assert not (parts[0] == NAME and layer(parts[1:]) in TORCH), where


@pytest.mark.parametrize("folder", ["src", "benchmarks", "tests", "examples"])
def test_files_have_one_subject_and_so_few_lines(folder):
    files = [p for p in sorted((CHECKOUT / folder).rglob("*")) if p.suffix in CODE]
    files = [p for p in files if "CMakeFiles" not in p.parts]  # what `make kernel` leaves there
    assert files
    lines = {p.relative_to(CHECKOUT).as_posix(): len(p.read_text().splitlines()) for p in files}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_no_module_has_a_name_that_says_nothing(module):
    assert module.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert "print(" not in module.read_text() or layer(module.relative_to(ROOT).parts) in (
        "cli",
        "training",
    )


def test_nothing_that_could_unpickle(module):
    """torch.load, pickle and NumPy's allow_pickle have no place in this package."""
    for name, line in imports(module):
        assert name.split(".")[0] not in {"pickle", "dill", "joblib", "cloudpickle", "shelve"}, line
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert called != "torch.load" or options.get("weights_only") == "True", node.lineno
            assert options.get("allow_pickle", "False") == "False", node.lineno
