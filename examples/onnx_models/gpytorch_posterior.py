"""GPyTorch's exact Gaussian process
====================================

Posterior of 32 observations, which are inputs themselves.
"""

import contextlib
from unittest import mock

import gpytorch
import linear_operator
import torch
from torch import nn


class Process(gpytorch.models.ExactGP):
    """A squared-exponential kernel of length 0.5, noise of standard deviation 0.1."""

    def __init__(self) -> None:
        likelihood = gpytorch.likelihoods.GaussianLikelihood()
        super().__init__(torch.zeros(32, 1), torch.zeros(32), likelihood)
        self.mean_module = gpytorch.means.ConstantMean()
        self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())
        self.covar_module.base_kernel.lengthscale = 0.5
        likelihood.noise = 0.01

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


@contextlib.contextmanager
def exportable():
    """GPyTorch by Cholesky factors, without what it asks of the data as it goes."""
    settings = gpytorch.settings
    with (
        settings.fast_computations(False, False, False),
        settings.fast_pred_var(False),
        settings.lazily_evaluate_kernels(False),
        settings.debug(False),  # no comparison of the new points with the training points
        linear_operator.settings.trace_mode(),  # no second try with jitter where Cholesky fails
        # Kernels ask whether two sets of points are equal, to save work.
        mock.patch("torch.equal", lambda x, y: x is y),
    ):
        yield


class Posterior(nn.Module):
    """Mean and variance at new points."""

    def __init__(self) -> None:
        super().__init__()
        self.process = Process().eval()

    def forward(self, x, y, x_new):
        self.process.set_train_data(x, y, strict=False)
        with exportable():
            posterior = self.process(x_new)
            # Not ``variance``, which warns where it is negative.
            variance = posterior.lazy_covariance_matrix.diagonal(dim1=-2, dim2=-1)
            return posterior.mean, variance


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it."""
    x = 4 * torch.rand(batch, 32, 1, generator=generator, dtype=dtype)
    x_new = 4 * torch.rand(batch, 10, 1, generator=generator, dtype=dtype)
    return Posterior(), (x, torch.sin(3 * x)[..., 0], x_new)
