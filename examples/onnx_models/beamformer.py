"""The minimum variance distortionless response beamformer
==========================================================

The minimum variance distortionless response beamformer, in complex arithmetic.

Capon 1969, "High-resolution frequency-wavenumber spectrum analysis", Proc. IEEE 57; as in neural
beamformers for speech (Souden et al. 2010, eq. 24).
"""

import torch
from torch import nn


class MVDR(nn.Module):
    """Masked spectrograms of several microphones to one, frequency by frequency."""

    def forward(self, re, im, mask):
        x = torch.complex(re, im)  # (batch, frequencies, microphones, frames)
        speech = mask[:, :, None] * x
        noise = (1 - mask)[:, :, None] * x
        speech_covariance = speech @ x.mH / x.shape[-1]
        noise_covariance = noise @ x.mH / x.shape[-1]
        loading = 1e-2 * torch.eye(x.shape[2], dtype=re.dtype)
        ratio = torch.linalg.solve(noise_covariance + loading, speech_covariance)
        trace = ratio.diagonal(dim1=-2, dim2=-1).sum(-1)
        weights = ratio[..., 0] / trace[..., None]
        enhanced = (weights.conj()[..., None, :] @ x).squeeze(-2)
        return enhanced.real, enhanced.imag


def example(generator, batch=2, dtype=torch.float32, microphones=6):
    """The model and inputs for it."""
    shape = (batch, 5, microphones, 40)
    re, im = torch.randn(2, *shape, generator=generator, dtype=dtype)
    mask = torch.rand(batch, 5, 40, generator=generator, dtype=dtype)
    return MVDR(), (re, im, mask)
