"""Stacks on disk that many processes invert at once, part by part: Zarr groups and ``.npy``."""
