"""Certified inverses of stacks of small matrices by the compiled kernel, where it was built."""

from deepmatrixinversion.kernel.pairs import OneSolution, certify_stack, solve_one, solve_stack
from deepmatrixinversion.kernel.passes import doubled_product, moduli, products, squares
from deepmatrixinversion.kernel.spectral import (
    LARGEST_GUESS,
    MOST_UNITS,
    Starts,
    packed,
    spectral_descend,
    spectral_start,
)
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
    "LARGEST_GUESS",
    "LARGEST_ORDER",
    "METHODS",
    "MOST_UNITS",
    "OneSolution",
    "StackInversion",
    "Starts",
    "available",
    "certify_stack",
    "complete_stack",
    "doubled_product",
    "halve_into",
    "invert_one",
    "invert_stack",
    "moduli",
    "packed",
    "products",
    "show_config",
    "solve_one",
    "solve_stack",
    "spectral_descend",
    "spectral_start",
    "squares",
    "threads",
    "use",
    "usual_environment",
]
