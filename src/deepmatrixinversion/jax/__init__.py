"""Inverses of JAX arrays by matrix products: on any device, under jit, vmap, grad and sharding.

``from deepmatrixinversion.jax import inv``. `sharded` inverts one matrix that lies on many devices.
"""

from deepmatrixinversion.jax.functions import InverseResult, inv, inv_ex, pinv, solve

__all__ = ["InverseResult", "inv", "inv_ex", "pinv", "solve"]
