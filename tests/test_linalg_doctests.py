"""The examples in the docstrings of `linalg` are true."""

import doctest
import importlib
import pkgutil

import pytest

import deepmatrixinversion.linalg as linalg

MODULES = [module.name for module in pkgutil.iter_modules(linalg.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"{linalg.__name__}.{name}")
    assert doctest.testmod(module).failed == 0
