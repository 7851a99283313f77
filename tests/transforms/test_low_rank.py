"""A Linear, or a convolution of 1 x 1, as two of lower rank."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import parameters_only, profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.low_rank import LOW_RANK


def step(layer: str, rank: int) -> Step:
    return Step(transform="low_rank", layers=(layer,), settings=settings(rank=rank))


def reasons(model: nn.Module, *inputs: torch.Tensor) -> dict[str, str]:
    return {found.layers[0]: found.reason for found in LOW_RANK.sites(profile(model, inputs))}


def test_the_break_even_rank_of_2048_to_1000_is_671():
    known = profile(nn.Sequential(nn.Linear(2048, 1000)), torch.zeros(1, 2048))
    (site,) = LOW_RANK.sites(known)
    assert isinstance(site, Site)
    (knob,) = site.knobs
    assert (knob.name, knob.low, knob.high, knob.break_even) == ("rank", 1, 1000, 671)
    assert LOW_RANK.estimate(known, step("0", 671)).macs < 0 < LOW_RANK.estimate(known, step("0", 672)).macs
    assert LOW_RANK.estimate(known, step("0", 671)).params == 671 * 3048 - 2_048_000


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(12, 8),
        nn.Linear(12, 8, bias=False),
        nn.Conv2d(12, 8, 1, stride=2, padding=1),
        nn.Conv2d(12, 8, 1, padding="same", padding_mode="reflect"),
        nn.Conv1d(12, 8, 1, stride=3),
        nn.Conv3d(12, 8, 1, bias=False),
    ],
    ids=str,
)
def test_full_rank_answers_as_before(layer):
    sizes = {nn.Linear: (5, 12), nn.Conv1d: (2, 12, 9), nn.Conv2d: (2, 12, 7, 6), nn.Conv3d: (2, 12, 3, 4, 5)}
    inputs = torch.randn(sizes[type(layer)], generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(layer)
    applied = apply(model, Plan(steps=(step("0", 8),)), inputs)
    first, second = applied.model[0]
    assert type(first) is type(second) is type(layer)
    assert first.bias is None
    assert (second.bias is None) == (layer.bias is None)
    assert torch.allclose(applied.model(inputs), model(inputs), atol=1e-5)  # outputs are about 1: float32, two products


def test_what_was_frozen_stays_frozen_and_modes_dtypes_stay():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).double()
    model[0].weight.requires_grad_(False)
    model[0].eval()
    applied = apply(model, Plan(steps=(step("0", 4), step("1", 4))), torch.zeros(1, 8, dtype=torch.float64))
    frozen, free = applied.model
    assert [part.weight.requires_grad for part in frozen] == [False, False]
    assert frozen[1].bias.requires_grad
    assert all(parameter.requires_grad for parameter in free.parameters())
    assert not any(module.training for module in frozen.modules())
    assert all(module.training for module in free.modules())
    assert {parameter.dtype for parameter in applied.model.parameters()} == {torch.float64}


def test_a_layer_that_runs_often_is_replaced_everywhere_and_counted_often():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    known = profile(model, torch.zeros(4, 8))
    (site,) = LOW_RANK.sites(known)
    assert "all 2 calls" in site.reason
    applied = apply(model, Plan(steps=(step("2", 2),)), torch.zeros(4, 8))  # by its other name
    assert applied.model[0] is applied.model[2]
    assert (applied.profile.cost - applied.before.cost).macs == LOW_RANK.estimate(known, step("0", 2)).macs


def test_layers_that_cannot_be_factored_are_skipped_with_the_obstacle():
    assert (
        "reads its weight directly"
        in reasons(nn.ModuleList([nn.MultiheadAttention(8, 2, batch_first=True)])[0], *(torch.zeros(1, 3, 8),) * 3)[
            "out_proj"
        ]
    )
    assert "recurrent" in reasons(nn.Sequential(nn.LSTM(8, 8)), torch.zeros(3, 1, 8))["0"]
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = reasons(encoder, torch.zeros(1, 3, 8))
    assert "TransformerEncoderLayer reads" in found["linear1"]
    assert "one raw parameter" in found["self_attn"]
    assert "grouped" in reasons(nn.Sequential(nn.Conv2d(8, 8, 1, groups=2)), torch.zeros(1, 8, 2, 2))["0"]
    assert "depthwise" in reasons(nn.Sequential(nn.Conv2d(8, 8, 1, groups=8)), torch.zeros(1, 8, 2, 2))["0"]
    assert "too small" in reasons(nn.Sequential(nn.Linear(8, 2)), torch.zeros(1, 8))["0"]
    assert "the model itself" in reasons(nn.Linear(8, 8), torch.zeros(1, 8))[""]


def test_weights_that_are_made_of_others_are_skipped_until_they_are_plain():
    masked = nn.Sequential(nn.Linear(8, 8))
    prune.l1_unstructured(masked[0], "weight", amount=0.5)
    assert "masked" in reasons(masked, torch.zeros(1, 8))["0"]
    prune.remove(masked[0], "weight")
    assert "saves up to rank 3" in reasons(masked, torch.zeros(1, 8))["0"]
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)))
    assert "parametrized" in reasons(normed, torch.zeros(1, 8))["0"]


def test_tied_weights_are_skipped_on_both_sides():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.head = nn.Linear(8, 20, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(tokens))

    model, tokens = Tied(), torch.zeros(1, 4, dtype=torch.long)
    assert "tied" in reasons(model, tokens)["head"]
    applied = apply(model, Plan(steps=(step("head", 2),)), tokens)
    assert not applied.edits
    assert "tied to embed.weight" in applied.skipped[0].reason
    assert applied.model.head.weight is applied.model.embed.weight


def test_a_layer_that_never_ran_is_skipped():
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    assert "did not run" in reasons(Half(), torch.zeros(1, 8))["idle"]
    assert all("did not run" in found.reason for found in LOW_RANK.sites(parameters_only(Half())))


def test_a_frozen_trunk_and_frozen_factors_cost_the_backward_that_is_estimated():
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 8))
    model[0].requires_grad_(False)
    model[2].weight.requires_grad_(False)
    known = profile(model, torch.zeros(4, 8))
    for layer in ("0", "1", "2"):
        change = apply(model, Plan(steps=(step(layer, 3),)), torch.zeros(4, 8)).profile.cost - known.cost
        assert change.backward_macs == LOW_RANK.estimate(known, step(layer, 3)).backward_macs
        assert change.saved_bytes == LOW_RANK.estimate(known, step(layer, 3)).saved_bytes


@pytest.mark.parametrize("rank", [0, 9, 2.0, True, "4"])
def test_a_rank_out_of_range_names_layer_value_and_range(rank):
    known = profile(nn.Sequential(nn.Linear(8, 8)), torch.zeros(1, 8))
    with pytest.raises(TransformError, match=r"low_rank at 0 .*rank is .* from 1 to 8"):
        LOW_RANK.estimate(known, Step(transform="low_rank", layers=("0",), settings=settings(rank=rank)))
