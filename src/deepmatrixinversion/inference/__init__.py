"""From a model to inverses: scale, guess by the network, refine (no torch here)."""
