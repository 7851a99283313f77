"""A convolution of k x k by cp."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.factorize.cp import CP


def step(rank: int) -> Step:
    return Step(transform="cp", layers=("0",), settings=settings(rank=rank, anyway=True))


@pytest.mark.parametrize(
    "options",
    [{"stride": (2, 1), "padding": (1, 2)}, {"padding": "same", "dilation": (1, 2), "bias": False}],
    ids=str,
)
def test_full_rank_answers_as_before_and_low_rank_costs_what_was_estimated(options):
    model = nn.Sequential(nn.Conv2d(5, 7, 3, **options))
    image = torch.randn(2, 5, 9, 8, generator=torch.Generator().manual_seed(0))
    known = profile(model, image)
    full = apply(model, Plan(steps=(step(45),)), image)
    assert torch.allclose(full.model(image), model(image), atol=1e-5)  # outputs are about 1: float32
    low = apply(model, Plan(steps=(step(2),)), image)
    change, said = low.profile.cost - known.cost, CP.estimate(known, step(2))
    assert all(getattr(said, name) == getattr(change, name) for name in CP.exact)


def test_it_is_an_expert_choice_with_a_warning_and_groups_are_skipped():
    model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3, groups=2), nn.Conv2d(16, 16, 3, groups=16))
    site, grouped, depthwise = CP.sites(profile(model, torch.zeros(1, 16, 9, 9)))
    assert isinstance(site, Site)
    assert not site.advised
    assert site.warnings
    assert isinstance(grouped, Skip)
    assert "grouped (2 groups)" in grouped.reason
    assert "depthwise" in depthwise.reason
