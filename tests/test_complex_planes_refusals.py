"""Programs that get no planes: what is refused, and real ones, which stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import linalg

from deepmatrixinversion.export import exportable_program


class Whole(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


REFUSED = {
    "inputs and outputs must be real": lambda x: torch.complex(x, x),
    "not translated for complex tensors: linalg_eig": lambda x: linalg.eig(x)[0].real,
    "linalg_eigh: take inv, solve, .* or apply it to": lambda x: linalg.eigh(torch.complex(x, x))[
        0
    ],
    "linalg_svd: take": lambda x: linalg.svd(torch.complex(x, x))[0].real,
    "linalg_qr: take": lambda x: linalg.qr(torch.complex(x, x))[1].real,
    "only 1 to 8 are translated": lambda x: (torch.complex(x, x) ** 0.5).real,
    "einsums of two": lambda x: torch.einsum("ij,jk,kl->il", *[torch.complex(x, x)] * 3).real,
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        exportable_program(Whole(REFUSED[message]), (torch.eye(3),))


def test_determinants_leave_the_range_only_where_they_do():
    """Rows of many units, of which products are beyond float32 as the determinant is not."""
    A = torch.randn(3, 4, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    units = 2.0 ** torch.tensor([60.0, 80.0, -60.0, -80.0])[:, None]
    det = lambda re, im: torch.view_as_real(linalg.det(torch.complex(re, im)))  # noqa: E731
    program = exportable_program(Whole(det), (A.real, A.imag)).module()
    found, scaled = (program(B.real.contiguous(), B.imag.contiguous()) for B in (A, A * units))
    torch.testing.assert_close(found, det(A.real, A.imag), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scaled, found, rtol=1e-5, atol=1e-5)
    log = lambda re, im: linalg.slogdet(torch.complex(re, im)).logabsdet  # noqa: E731
    program = exportable_program(Whole(log), (A.real, A.imag)).module()
    found = program(*((A * units).real.contiguous(), (A * units).imag.contiguous()))
    torch.testing.assert_close(found, log(A.real, A.imag), rtol=1e-5, atol=1e-5)


def test_real_models_stay_as_they_are():
    x = torch.eye(3)
    found = exportable_program(Whole(linalg.inv), (x,)).graph
    given = torch.export.export(Whole(linalg.inv), (x,)).graph
    assert str(found) == str(given)
