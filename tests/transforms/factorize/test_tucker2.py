"""Tucker-2 decomposition of a convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.factorize.factors import tucker_factors, tucker_product
from effwidgets.transforms.factorize.tucker2 import TUCKER2


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2), (2, 8, 9, 8)),
        (nn.Conv1d(5, 7, 4, stride=3, padding=2, padding_mode="circular"), (2, 5, 16)),
        (nn.Conv3d(5, 7, 2, padding=1, padding_mode="replicate", bias=False), (2, 5, 4, 3, 5)),
    ],
    ids=str,
)
def test_full_ranks_answer_as_before(layer, shape):
    model, image = nn.Sequential(layer), random(*shape)
    out, into = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    full = Step(transform="tucker2", layers=("0",), settings=settings(rank_in=into, rank_out=out, anyway=True))
    applied = apply(model, Plan(steps=(full,)), image)
    assert [type(part) for part in applied.model[0]] == [type(layer)] * 3
    assert torch.allclose(applied.model(image), model(image), atol=1e-5)  # outputs are about 1: float32, three products


def test_it_is_an_expert_choice_with_a_warning():
    (site,) = TUCKER2.sites(profile(nn.Sequential(nn.Conv2d(16, 16, 3)), torch.zeros(1, 16, 5, 5)))
    assert isinstance(site, Site)
    assert not site.advised
    assert "slower than their MACs say" in site.warnings[0]


@pytest.mark.parametrize("ranks", [(2, 3), (4, 5), (6, 2)])
def test_iterating_is_not_worse_than_projecting_once(ranks):
    weight = random(12, 8, 3, 3).double() * torch.logspace(0, -1, 12, dtype=torch.float64)[:, None, None, None]
    flat = weight.flatten(2)
    out = torch.linalg.svd(flat.flatten(1))[0][:, : ranks[1]]
    into = torch.linalg.svd(flat.movedim(1, 0).flatten(1))[0][:, : ranks[0]]
    projected = torch.einsum("oik,op,iq,np,mq->nmk", flat, out, into, out, into).reshape(weight.shape)
    found = tucker_product(*tucker_factors(weight, *ranks))
    assert (found - weight).norm() <= (projected - weight).norm() * (1 + 1e-9)
