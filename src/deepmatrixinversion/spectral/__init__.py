"""The size-agnostic network without torch: its advice, its start, and the driver of a guess.

Training, inference and export share what is here; the module that torch trains and exports is
``nets.spectral``.
"""
