"""Certified inverses of stacks of small matrices by the compiled kernel, where it was built."""

from deepmatrixinversion.kernel.pairs import OneSolution, certify_stack, solve_one, solve_stack
from deepmatrixinversion.kernel.passes import doubled_product, moduli, products, squares
from deepmatrixinversion.kernel.stack import (
    LARGEST_ORDER,
    METHODS,
    StackInversion,
    complete_stack,
    halve_into,
    invert_one,
    invert_stack,
    usual_environment,
)
from deepmatrixinversion.kernel.state import available, show_config, threads, use

__all__ = [
    "LARGEST_ORDER",
    "METHODS",
    "OneSolution",
    "StackInversion",
    "available",
    "certify_stack",
    "complete_stack",
    "doubled_product",
    "halve_into",
    "invert_one",
    "invert_stack",
    "moduli",
    "products",
    "show_config",
    "solve_one",
    "solve_stack",
    "squares",
    "threads",
    "use",
    "usual_environment",
]
