"""A state-space layer
======================

Continuous systems made discrete, by a bilinear rule and by exponentials.

Gu, Goel & Re 2022, "Efficiently modeling long sequences with structured state spaces", eq. 3.
"""

import torch
from torch import nn


class Discretised(nn.Module):
    """Step sizes and an input to the outputs of both recurrences."""

    def __init__(self, states: int = 16) -> None:
        super().__init__()
        i = torch.arange(states, dtype=torch.float32)
        root = (2 * i + 1).sqrt()
        # HiPPO's matrix of Legendre measures, and its input vector.
        A = -torch.tril(root[:, None] * root, -1) - torch.diag(i + 1)
        self.register_buffer("A", A)
        self.register_buffer("B", root[:, None])

    def forward(self, step, u):
        A, B = self.A.to(u.dtype), self.B.to(u.dtype)
        identity = torch.eye(len(A), dtype=u.dtype)
        scaled = step[:, None, None] * A
        bilinear = torch.linalg.inv(identity - scaled / 2)
        first = bilinear @ (identity + scaled / 2)
        drive = bilinear @ (step[:, None, None] * B)
        exact = torch.linalg.matrix_exp(scaled)
        x = y = u.new_zeros(1, len(A), 1)
        for t in range(u.shape[1]):
            x = first @ x + drive * u[:, t, None, None]
            y = exact @ y + step[:, None, None] * B * u[:, t, None, None]
        return x.squeeze(-1), y.squeeze(-1)


def example(generator, batch=2, dtype=torch.float32):
    """The model and inputs for it."""
    step = 10 ** (-3 + 2 * torch.rand(batch, generator=generator, dtype=dtype))
    return Discretised(), (step, torch.randn(batch, 6, generator=generator, dtype=dtype))
