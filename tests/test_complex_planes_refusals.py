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

    def forward(self, x):
        return self.function(x)


REFUSED = {
    "inputs and outputs must be real": lambda x: torch.complex(x, x),
    "not translated for complex tensors: linalg_eig": lambda x: linalg.eig(x)[0].real,
    "only 1 to 8 are translated": lambda x: (torch.complex(x, x) ** 0.5).real,
    "einsums of two": lambda x: torch.einsum("ij,jk,kl->il", *[torch.complex(x, x)] * 3).real,
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        exportable_program(Whole(REFUSED[message]), (torch.eye(3),))


def test_real_models_stay_as_they_are():
    x = torch.eye(3)
    found = exportable_program(Whole(linalg.inv), (x,)).graph
    given = torch.export.export(Whole(linalg.inv), (x,)).graph
    assert str(found) == str(given)
