"""Certified inverses and pseudo-inverses by matrix products: no network, no LAPACK.

stack           stacks of matrices that own their layout
scaling         exact powers of two, equilibration
residual        I - A X in extended precision, its error bounded
polish          the last step, and the bound that it gives for nothing
certificate     rigorous bounds on ‖A^-1 - X‖ and ‖I - X A‖, for exactly the arrays returned
arithmetic      rounding modes and flushed subnormals
newton          Newton-Schulz refinement, the start from A^T
elimination     Gauss-Jordan in lockstep, where a guess is no use
butterfly       random orthogonal preconditioners
schur           block recursion for any order over a small inverter
structure       structural zeros of inverses
pseudoinverse   any shape and rank
engine          all of it: guess -> refine -> polish -> certify
"""
