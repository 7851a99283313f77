"""Zeros over layers: LAMP and ERK against their formulas, done slowly."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import effwidgets as eff
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.transforms.apply import apply
from effwidgets.transforms.formats.allocation import ALLOCATIONS, erk_zeros, lamp_zeros, sparsity_plan, uniform_zeros
from effwidgets.transforms.formats.unstructured import UNSTRUCTURED


def _weights(seed: int) -> dict[str, torch.Tensor]:
    own = torch.Generator().manual_seed(seed)
    sizes = {"a": (6, 4), "b": (3, 2, 3), "c": (5, 5)}
    return {name: torch.randn(size, generator=own) * scale for scale, (name, size) in enumerate(sizes.items(), 1)}


@given(st.integers(0, 50), st.floats(0.05, 0.9))
def test_lamp_removes_the_lowest_scores_of_the_whole_model(seed: int, share: float) -> None:
    weights = _weights(seed)
    scores = []
    for name, weight in weights.items():
        squares = sorted(float(number) ** 2 for number in weight.double().flatten())
        scores += [(square / sum(squares[i:]), name) for i, square in enumerate(squares)]
    wanted = round(share * len(scores))
    gone = [name for _, name in sorted(scores)[:wanted]]
    assert lamp_zeros(weights, share) == {name: gone.count(name) for name in weights}


def test_lamp_takes_what_is_zero_already_first_and_leaves_each_layer_its_largest() -> None:
    weights = {"a": torch.tensor([[0.0, 0.0, 1.0, 2.0]]), "b": torch.tensor([[1.0, 1.0]])}
    assert lamp_zeros(weights, 2 / 6) == {"a": 2, "b": 0}
    assert lamp_zeros(weights, 0.9) == {"a": 3, "b": 1}


def test_erk_makes_density_follow_the_sum_of_the_sizes_over_their_product() -> None:
    weights = {"a": torch.zeros(64, 64, 3, 3), "b": torch.zeros(128, 64, 3, 3), "c": torch.zeros(256, 512)}
    zeros = erk_zeros(weights, 0.9)
    density = {name: 1 - zeros[name] / weight.numel() for name, weight in weights.items()}
    raw = {name: sum(weight.shape) / weight.numel() for name, weight in weights.items()}
    # Whole numbers of zeros: half a number of 36,864 either way.
    for name in ("b", "c"):
        assert density[name] / density["a"] == pytest.approx(raw[name] / raw["a"], rel=1e-3)
    total = sum(weight.numel() for weight in weights.values())
    assert abs(sum(zeros.values()) - 0.9 * total) <= 1.5  # half a number in each of three layers


def test_erk_leaves_small_layers_whole_and_takes_their_part_elsewhere() -> None:
    weights = {"small": torch.zeros(4, 4), "large": torch.zeros(100, 100)}
    zeros = erk_zeros(weights, 0.5)
    assert zeros == {"small": 0, "large": round(10_000 - (0.5 * 10_016 - 16))}


def test_uniform_is_the_same_share_everywhere() -> None:
    assert uniform_zeros({"a": torch.zeros(10, 10), "b": torch.zeros(3, 5)}, 0.5) == {"a": 50, "b": 8}


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_plan_makes_the_share_of_zeros_that_it_was_asked_for(allocation: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 40), nn.Linear(40, 7))
    x = torch.randn(2, 3, 6, 6)
    applied = apply(model, sparsity_plan(model, x, 0.8, allocation=allocation), x)
    assert not applied.skipped
    weights = [parameter for name, parameter in applied.model.named_parameters() if name.endswith("weight")]
    zeros, entries = sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)
    off = abs(zeros - round(0.8 * entries))
    assert off <= (0 if allocation == "lamp" else 2)  # rounded in each of three layers


def test_wanda_plans_weigh_an_embedding_by_size() -> None:
    model = nn.Sequential(nn.Embedding(30, 8), nn.Linear(8, 8))
    plan = sparsity_plan(model, torch.zeros(1, 3, dtype=torch.long), 0.5, criterion="wanda")
    assert {step.layers[0]: step.setting("criterion") for step in plan} == {"0": "magnitude", "1": "wanda"}


def test_what_is_asked_wrongly_is_answered_with_what_there_is() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4)), torch.ones(1, 4)
    with pytest.raises(UnknownNameError, match="'uniform', 'lamp', 'erk'"):
        sparsity_plan(model, x, 0.5, allocation="even")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="between 0 and 1"):
        sparsity_plan(model, x, 80)
    with pytest.raises(UnknownNameError, match="fc"):
        sparsity_plan(model, x, 0.5, layers=["fc"])
    with pytest.raises(InputError, match="no layer"):
        sparsity_plan(nn.Sequential(nn.ReLU()), x, 0.5)


def test_a_layer_that_was_asked_for_and_cannot_be_made_sparse_is_refused_with_its_reason() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 4)), torch.ones(2, 4)
    with pytest.raises(InputError, match="1 cannot be made sparse: it is a ReLU, which holds no matrix"):
        sparsity_plan(model, x, 0.5, layers=["0", "1"])
    plan = sparsity_plan(model, x, 0.5, layers=["3", "0"])
    assert {step.layers[0] for step in plan} == {"0", "3"}
    skipped = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    skips = [found for found in UNSTRUCTURED.sites(eff.profile(skipped, x)) if isinstance(found, eff.Skip)]
    assert skips
    for skip in skips:
        with pytest.raises(InputError, match=re.escape(f"{skip.layers[0]} cannot be made sparse: {skip.reason}")):
            sparsity_plan(skipped, x, 0.5, layers=["1", skip.layers[0]])
