"""dmxdatasetgenerator and dmxdatasetverify, as tests call them."""

from __future__ import annotations

from deepmatrixinversion.cli import dataset_generator, dataset_verify

SUFFIXES = (
    "matrices",
    "matrices_inverted",
    "singular_matrices",
    "singular_matrices_pseudoinverted",
)


def names(prefix, size, suffix="mx"):
    return [f"{prefix}_{kind}_{size}x{size}.{suffix}" for kind in SUFFIXES]


def generate(*words):
    return dataset_generator.main([str(word) for word in words])


def verify(*words):
    return dataset_verify.main([str(word) for word in words])


def status(command, *words):
    """The exit status, whether it comes from argparse or from the command."""
    try:
        return command(*words)
    except SystemExit as stop:
        return stop.code
