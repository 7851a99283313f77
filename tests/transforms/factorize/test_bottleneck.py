"""A convolution of k x k as 1 x 1, k x k, 1 x 1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.factorize.bottleneck import BOTTLENECK


def step(rank_in: int, rank_out: int) -> Step:
    return Step(
        transform="bottleneck", layers=("0",), settings=settings(rank_in=rank_in, rank_out=rank_out, anyway=True)
    )


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(5, 7, 3, stride=2, padding=1), (2, 5, 9, 8)),
        (nn.Conv2d(5, 7, 3, padding="same", dilation=2, bias=False), (2, 5, 9, 8)),
        (nn.Conv2d(5, 7, (1, 5), padding=(0, 2), padding_mode="circular"), (2, 5, 9, 8)),
        (nn.Conv1d(5, 7, 4, stride=3), (2, 5, 16)),
        (nn.Conv3d(5, 7, 2, padding=1, padding_mode="replicate"), (2, 5, 4, 3, 5)),
    ],
    ids=str,
)
def test_full_ranks_answer_as_before(layer, shape):
    model = nn.Sequential(layer)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    applied = apply(model, Plan(steps=(step(5, 7),)), image)
    assert [type(part) for part in applied.model[0]] == [type(layer)] * 3
    assert torch.allclose(applied.model(image), model(image), atol=1e-5)  # outputs are about 1: float32, three products


def test_the_estimate_counts_where_each_part_runs():
    # 16 -> 32, 3 x 3, stride 2, ranks 4 and 8, from 12 x 12 to 6 x 6, batch of 2.
    model = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1))
    known = profile(model, torch.zeros(2, 16, 12, 12))
    expected = 2 * (144 * 16 * 4 + 36 * 4 * 8 * 9 + 36 * 8 * 32)
    assert known.cost.macs + BOTTLENECK.estimate(known, step(4, 8)).macs == expected
    assert known.cost.params + BOTTLENECK.estimate(known, step(4, 8)).params == 16 * 4 + 4 * 8 * 9 + 8 * 32 + 32


def test_both_knobs_break_even_together():
    known = profile(nn.Sequential(nn.Conv2d(32, 64, 3, padding=1)), torch.zeros(1, 32, 8, 8))
    (site,) = BOTTLENECK.sites(known)
    assert isinstance(site, Site)
    even = [int(knob.break_even) for knob in site.knobs]
    above = [even[0] + 1, 2 * (even[0] + 1)]  # 64 out for 32 in
    assert BOTTLENECK.estimate(known, step(*even)).macs < 0
    assert BOTTLENECK.estimate(known, step(*above)).macs >= 0


def test_a_low_rank_convolution_loses_nothing_and_starts_far_better_than_at_random():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1))
    into, core, out = (torch.randn(size, generator=generator) for size in ((4, 16), (5, 4, 3, 3), (16, 5)))
    model[0].weight.data = torch.einsum("pi,qphw,oq->oihw", into, core, out) / 20
    image = torch.randn(2, 16, 8, 8, generator=generator)
    applied = apply(model, Plan(steps=(step(4, 5),)), image, calibration=image)
    assert applied.edits[0].error < 1e-5


def smooth(*shape: int) -> torch.Tensor:
    """Pictures whose neighbours are alike, as real ones are."""
    image = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    return 3 * torch.nn.functional.avg_pool2d(image, 3, 1, 1)


def seen(*, groups: int = 1, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 24, 3, padding=1, groups=groups, bias=bias)
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), layer, nn.BatchNorm2d(24), nn.ReLU()).eval()


def fitted(model: nn.Sequential, layer: str, **chosen: object) -> tuple[float, float, str]:
    """Relative errors of the layer itself and of what the ReLU behind it lets through, and the note."""
    asked = Step(transform="bottleneck", layers=(layer,), settings=settings(rank_in=4, rank_out=5, **chosen))
    image = smooth(16, 3, 12, 12)
    applied = apply(model, Plan(steps=(asked,)), image, calibration=image, repair=False)
    assert applied.edits, applied.skipped
    place = int(layer) + 1
    with torch.no_grad():
        old, new = model[:place](image), applied.model[:place](image)
        through, after = model(image), applied.model(image)
        return (
            float((new - old).norm() / old.norm()),
            float((after - through).norm() / through.norm()),
            " ".join(applied.edits[0].notes),
        )


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_refitting_comes_nearer_and_all_factors_nearer_still(groups, bias):
    model = seen(groups=groups, bias=bias)
    none, last, every = (fitted(model, "2", refit=which, relu=False)[0] for which in ("none", "last", "all"))
    assert every < 0.98 * last < 0.98 * none


def test_with_calibration_the_last_factor_is_refitted_and_the_relu_behind_is_seen():
    model = seen()
    _, blind, _ = fitted(model, "2", relu=False)
    _, aware, note = fitted(model, "2")
    assert "the last factor refitted to 2,304 rows of calibration inputs, aware of the ReLU" in note
    assert aware < blind


def test_without_calibration_a_refit_that_was_asked_for_is_refused():
    asked = Step(transform="bottleneck", layers=("0",), settings=settings(rank_in=2, rank_out=2, refit="last"))
    applied = apply(nn.Sequential(nn.Conv2d(8, 8, 3)), Plan(steps=(asked,)), torch.zeros(1, 8, 5, 5))
    assert "needs calibration inputs; none came" in applied.skipped[0].reason
    odd = Step(transform="bottleneck", layers=("0",), settings=settings(rank_in=2, rank_out=2, refit="some"))
    applied = apply(nn.Sequential(nn.Conv2d(8, 8, 3)), Plan(steps=(odd,)), torch.zeros(1, 8, 5, 5))
    assert "none, last, all" in applied.skipped[0].reason


def test_full_ranks_stay_exact_when_they_are_refitted():
    model = seen()
    asked = Step(transform="bottleneck", layers=("2",), settings=settings(rank_in=16, rank_out=24, anyway=True))
    image = smooth(4, 3, 12, 12)
    applied = apply(model, Plan(steps=(asked,)), image, calibration=image, repair=False)
    assert applied.edits[0].error < 1e-4  # a ridge of 1e-9 in double precision, then three factors of float32
