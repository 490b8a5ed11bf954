"""Linear detection of 8 streams at 16 antennas
===============================================

Linear detection of 8 streams at 16 antennas: complex matrices inside, real planes outside.
"""

import torch
from torch import nn


class Detector(nn.Module):
    """Received signals to symbols by MMSE, with the error's covariance."""

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, channel_re, channel_im, signal_re, signal_im):
        H = torch.complex(channel_re, channel_im)
        y = torch.complex(signal_re, signal_im)[..., None]
        gram = H.mH @ H + self.noise * torch.eye(H.shape[-1], dtype=channel_re.dtype)
        inverse = torch.linalg.inv(gram)
        symbols = (inverse @ (H.mH @ y)).squeeze(-1)
        error = self.noise * inverse.diagonal(dim1=-2, dim2=-1).real
        return symbols.real, symbols.imag, error


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it: a Rayleigh channel."""
    re, im = torch.randn(2, batch, 16, 8, generator=generator, dtype=dtype) / 16**0.5
    y_re, y_im = torch.randn(2, batch, 16, generator=generator, dtype=dtype)
    return Detector(), (re, im, y_re, y_im)
