"""Certified inverses of stacks of small matrices by the compiled kernel, where it was built."""

from deepmatrixinversion.kernel.pairs import OneSolution, certify_stack, solve_one, solve_stack
from deepmatrixinversion.kernel.stack import (
    LARGEST_ORDER,
    METHODS,
    StackInversion,
    complete_stack,
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
    "invert_one",
    "invert_stack",
    "show_config",
    "solve_one",
    "solve_stack",
    "threads",
    "use",
    "usual_environment",
]
