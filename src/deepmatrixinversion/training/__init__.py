"""Training: recipe, losses, matrices, loop, checkpoints, ensembles (torch), and priors (NumPy)."""

from deepmatrixinversion.training.fit import fit

__all__ = ["fit"]
