"""Stacks of matrices with an origin and without, and priors fitted to them."""

# torch's modules answer to names that annotations do not know.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import numpy as np

from deepmatrixinversion.prior.costs import unit_data
from deepmatrixinversion.prior.fit import fit_prior

EPS = float(np.finfo(float).eps)
N = 12


def smooth(k, n=N, seed=0):
    """Kernel matrices of two hidden parameters."""
    rng = np.random.default_rng([seed, n])
    x = np.linspace(0, 1, n)
    scale = np.exp(rng.uniform(np.log(0.1), np.log(0.5), (k, 1, 1)))
    noise = np.exp(rng.uniform(np.log(1e-2), np.log(1e-1), (k, 1, 1)))
    return np.exp(-np.abs(x[:, None] - x) / scale) + noise * np.eye(n)


def around_one_mean(k, n=N, seed=0):
    """Small independent changes of every entry of one matrix."""
    rng = np.random.default_rng([seed, n])
    fixed = np.random.default_rng(7).standard_normal((n, n)) + 2 * np.eye(n)
    return fixed + 0.02 * rng.standard_normal((k, n, n))


def without_origin(k, n=N, seed=0):
    return np.random.default_rng([seed, n]).standard_normal((k, n, n))


def data(A):
    return unit_data(A, np.linalg.inv(A))


def fitted(family):
    return fit_prior(data(family(400)), data(family(60, seed=1)), data(family(60, seed=2)))
