"""A convolution of k x k as one of k x 1 and one of 1 x k."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.factorize.spatial_svd import SPATIAL_SVD


def step(rank: int) -> Step:
    return Step(transform="spatial_svd", layers=("0",), settings=settings(rank=rank, anyway=True))


def test_the_stride_of_the_second_factor_costs_the_first_its_width():
    # 64 -> 128, 3 x 3, stride 2, rank 64, from 56 x 56 to 28 x 28:
    # 28 * 56 * 64 * 3 * 64 for the column kernel and 28 * 28 * 64 * 3 * 128 for the row kernel.
    model = nn.Sequential(nn.Conv2d(64, 128, 3, stride=2, padding=1))
    known = profile(model, torch.zeros(1, 64, 56, 56))
    assert known.cost.macs + SPATIAL_SVD.estimate(known, step(64)).macs == 38_535_168
    assert apply(model, Plan(steps=(step(64),)), torch.zeros(1, 64, 56, 56)).profile.cost.macs == 38_535_168


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (1, 3), "padding": (2, 0), "bias": False},
        {"dilation": (2, 1), "padding": (2, 1)},
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "stride": (3, 2)},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": (1, 2), "padding_mode": "reflect", "stride": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", [3, (5, 2)], ids=str)
def test_full_rank_answers_as_before(options, kernel):
    model = nn.Sequential(nn.Conv2d(5, 7, kernel, **options))
    image = torch.randn(2, 5, 13, 12, generator=torch.Generator().manual_seed(0))
    (site,) = SPATIAL_SVD.sites(profile(model, image))
    assert isinstance(site, Site)
    applied = apply(model, Plan(steps=(step(int(site.knobs[0].high)),)), image)
    assert len(applied.model[0]) == 2
    assert torch.allclose(applied.model(image), model(image), atol=1e-5)  # outputs are about 1: float32, two products


def test_a_separable_convolution_survives_its_own_rank():
    generator = torch.Generator().manual_seed(0)
    columns, rows = torch.randn(4, 8, 3, generator=generator), torch.randn(12, 4, 3, generator=generator)
    model = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1))
    model[0].weight.data = torch.einsum("rih,orw->oihw", columns, rows) / 10
    image = torch.randn(1, 8, 10, 10, generator=generator)
    applied = apply(model, Plan(steps=(step(4),)), image, calibration=image)
    assert applied.edits[0].error < 1e-5
    assert torch.allclose(applied.model(image), model(image), atol=1e-4, rtol=1e-5)


def test_lines_and_points_are_not_its_business_and_groups_are_split_one_by_one():
    model = nn.Sequential(nn.Conv2d(8, 8, (1, 3)), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=2))
    image = torch.randn(1, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    known = profile(model, image)
    (site,) = SPATIAL_SVD.sites(known)
    assert site.layers == ("2",)
    assert "in each of its 2 groups" in site.reason
    full = Step(transform="spatial_svd", layers=("2",), settings=settings(rank=12, anyway=True))
    applied = apply(model, Plan(steps=(full,)), image)
    assert [part.groups for part in applied.model[2]] == [2, 2]
    assert torch.allclose(applied.model(image), model(image), atol=1e-5)  # outputs are about 1: float32, two products


def test_calls_of_different_shape_are_skipped():
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean() + self.conv(x[..., ::2, ::2]).mean()

    (skip,) = SPATIAL_SVD.sites(profile(Pyramid(), torch.zeros(1, 8, 8, 8)))
    assert "2 calls differ in shape" in skip.reason
