"""Ranks by a rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, TransformError, UnknownNameError
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Ranks
from effwidgets.transforms.apply import apply
from effwidgets.transforms.factorize.ranks import rank_plan
from effwidgets.transforms.foresee import estimate_plan

INPUT = torch.randn(64, 64, generator=torch.Generator().manual_seed(9))


def planted(rank: int, noise: float, *, size: int = 64, seed: int = 0) -> nn.Linear:
    own = torch.Generator().manual_seed(seed)
    layer = nn.Linear(size, size)
    product = torch.randn(size, rank, generator=own) @ torch.randn(rank, size, generator=own)
    layer.weight.data = product + noise * torch.randn(size, size, generator=own)
    return layer


def model() -> nn.Sequential:
    return nn.Sequential(planted(4, 0.01), nn.ReLU(), planted(12, 0.01, seed=1), nn.ReLU(), planted(64, 1.0, seed=2))


def chosen(found: Ranks) -> dict[str, int]:
    return {step.layers[0]: step.setting("rank") for step in found.plan}


def test_energy_and_error_find_what_was_planted_and_leave_out_what_saves_nothing():
    for rule, value in (("energy", 0.999), ("error", 0.05)):
        found = rank_plan(model(), INPUT, rule=rule, value=value)
        assert chosen(found) == {"0": 4, "2": 12}
        (skip,) = found.skips
        assert skip.layers == ("4",)
        assert "saves nothing: it breaks even at 31" in skip.reason
        assert [row.chosen for row in found.table] == [True, True, False]
        assert Ranks.from_dict(found.to_dict()) == found


def test_the_error_that_is_stated_is_that_of_the_applied_factors():
    net = model()
    found = rank_plan(net, INPUT, rule="error", value=0.3)
    applied = apply(net, found.plan, INPUT)
    for row in (row for row in found.table if row.chosen):
        old = net.get_submodule(row.layer).weight.detach()
        first, second = (part.weight.detach() for part in applied.model.get_submodule(row.layer))
        assert float((second @ first - old).norm() / old.norm()) == pytest.approx(row.error, rel=1e-3)
        assert row.error <= 0.3


@pytest.mark.parametrize(("rule", "field"), [("budget", "macs"), ("params", "params")])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_a_budget_is_kept_and_used(rule, field, share):
    net = model()
    known = profile(net, INPUT)
    found = rank_plan(net, INPUT, rule=rule, value=share)
    left = getattr(known.cost + estimate_plan(known, found.plan), field) / getattr(known.cost, field)
    step = 128 * (64 if rule == "budget" else 1) / getattr(known.cost, field)  # one rank of one layer
    assert share - step < left <= share


def test_a_budget_gives_rank_where_it_buys_most():
    found = chosen(rank_plan(model(), INPUT, rule="budget", value=0.5))
    # 0.5 of the MACs: the two that are nearly low-rank give all that they have, the third hardly any.
    assert found["0"] == 4 or found["0"] < 8
    assert found["2"] < 20
    assert found.get("4", 64) > 25


def test_a_budget_that_cannot_be_reached_says_what_can():
    with pytest.raises(TransformError, match=r"with rank 1 everywhere 0\.03"):
        rank_plan(model(), INPUT, rule="budget", value=0.001)


def test_variational_bayes_finds_the_planted_ranks_and_nothing_in_noise():
    net = nn.Sequential(planted(5, 1.0, size=128), planted(20, 1.0, size=128, seed=1), nn.Linear(128, 128))
    torch.nn.init.normal_(net[2].weight, generator=torch.Generator().manual_seed(3))
    found = rank_plan(net, torch.zeros(1, 128), rule="evbmf")
    assert chosen(found) == {"0": 5, "1": 20}
    assert "nothing that stands out" in found.skips[0].reason
    weak = rank_plan(net, torch.zeros(1, 128), rule="evbmf", value=0.2)
    assert chosen(weak) == {"0": round(5 + 0.2 * 123), "1": round(20 + 0.2 * 108)}


def test_with_inputs_ranks_are_those_that_the_outputs_need():
    net = nn.Sequential(nn.Linear(64, 64))
    own = torch.Generator().manual_seed(4)
    narrow = torch.randn(2048, 6, generator=own) @ torch.randn(6, 64, generator=own)
    assert not rank_plan(net, INPUT, rule="error", value=0.05).plan.steps
    found = rank_plan(net, INPUT, rule="error", value=0.05, calibration=narrow)
    assert chosen(found)["0"] == 6  # the directions that there are


def test_convolutions_by_two_ranks_and_layers_by_name():
    net = nn.Sequential(nn.Conv2d(16, 24, 3), nn.Conv2d(24, 24, 3))
    image = torch.zeros(1, 16, 9, 9)
    for rule in ("energy", "budget", "evbmf"):
        found = rank_plan(net, image, transform="bottleneck", rule=rule, value=0.6, layers=["1"])
        assert {row.layer for row in found.table} == {"1"}
        assert all(len(row.ranks) == 2 for row in found.table)
    spatial = rank_plan(net, image, transform="spatial_svd", rule="budget", value=0.5)
    assert not apply(net, spatial.plan, image).skipped


def test_embeddings_are_said_to_be_left_out():
    net = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 16))
    found = rank_plan(net, torch.zeros(2, 3, dtype=torch.long), layers=["0"])
    assert found.plan == Plan()
    assert "an embedding" in found.skips[0].reason


def test_unknown_names_and_values_out_of_range_are_answered():
    with pytest.raises(UnknownNameError, match="spatial_svd"):
        rank_plan(model(), INPUT, transform="cp")
    with pytest.raises(UnknownNameError, match="evbmf"):
        rank_plan(model(), INPUT, rule="magic")
    with pytest.raises(InputError, match="from 0 to 1"):
        rank_plan(model(), INPUT, value=2.0)
    with pytest.raises(UnknownNameError):
        rank_plan(model(), INPUT, layers=["nowhere"])


def test_a_weight_that_is_no_number_is_skipped_and_the_others_get_their_ranks():
    net = model()
    with torch.no_grad():
        next(net.parameters())[0, 0] = torch.nan
    for rule in ("energy", "error", "budget", "params", "evbmf"):
        found = rank_plan(net, INPUT, rule=rule, value=0.9)
        reasons = {skip.layers: skip.reason for skip in found.skips}
        assert reasons["0",] == "its weight has entries that are infinite or not a number"


def test_a_budget_without_a_layer_to_work_on_says_so():
    with pytest.raises(TransformError, match="spatial_svd has no layer to work on here"):
        rank_plan(nn.Sequential(nn.Linear(16, 16)), torch.ones(1, 16), transform="spatial_svd", rule="budget")


def test_batches_with_labels_first_are_understood():
    net, inputs = nn.Sequential(nn.Linear(16, 32)), torch.randn(40, 16)
    labelled = [(torch.arange(40), inputs)]
    assert rank_plan(net, inputs[:1], calibration=labelled) == rank_plan(net, inputs[:1], calibration=inputs)
