"""Training: recipe, losses, fresh matrices, loop, checkpoints, ensembles (needs torch)."""
