"""What a stack of somebody's own matrices teaches: stored inverses, their keys, a start (NumPy).

Fitting and inference alike are matrix products and Gram-Schmidt; the module that is exported is
``nets.prior``.
"""
