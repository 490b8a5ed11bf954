"""Certified inverses and pseudo-inverses by matrix products: no network, no LAPACK.

product         stacked products in two memory layouts, residuals beyond float64
scaling         exact powers of two, equilibration
iteration       Newton-Schulz refinement, polishing, the start from A^T
certificate     rigorous bounds on ‖I - XA‖ and ‖A^-1 - X‖
butterfly       random orthogonal preconditioners
schur           block recursion for any order over a small inverter
pseudoinverse   any shape and rank
engine          all of it: guess -> refine -> polish -> certify
"""
