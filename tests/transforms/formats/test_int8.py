"""Eight bits: rounded to the nearest step, stored as stated, and multiplied as the kernels' papers say."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from effwidgets import profile
from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.profiling.shadow import make_shadow
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.foresee import estimate_plan, foresee
from effwidgets.transforms.formats.int8 import INT8, quantised
from effwidgets.transforms.recipes.recipe import load, save


def _step(layer: str, **values: object) -> Step:
    return Step(transform="int8", layers=(layer,), settings=settings(values))


def _model() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 9, 20))
    return model.append(nn.Linear(20, 5, bias=False)), torch.randn(3, 4, 8, 8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_each_number_is_rounded_to_the_nearest_step(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = (torch.randn(6, 5, 3) * torch.logspace(-3, 2, 6)[:, None, None]).to(dtype)
    whole, scale = quantised(weight)
    assert (whole.dtype, scale.dtype, tuple(scale.shape)) == (torch.int8, dtype, (6, 1, 1))
    off = (weight.double() - whole.double() * scale.double()).abs()
    # Half a step; where the scale itself was rounded down, the largest number may lie that much beyond 127 steps.
    assert bool((off <= scale.double() * (0.5 + 127 * torch.finfo(dtype).eps)).all())


def test_zeros_stay_zero_and_a_row_of_zeros_is_one() -> None:
    whole, scale = quantised(torch.tensor([[0.0, 3.0], [0.0, 0.0], [1e-44, 0.0]]))
    assert whole[:2].tolist() == [[0, 127], [0, 0]]
    assert bool(torch.isfinite(scale).all())


def test_small_numbers_in_half_precision_keep_their_levels() -> None:
    # A scale of 3e-3 / 127 lies below the normal numbers of float16, of which 6e-5 is the smallest. Rounding to whole
    # steps loses step / sqrt(12) of each number: 0.7% of the spread at 127 steps for three spreads.
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)).mul(1e-3).half()
    whole, scale = quantised(weight)
    lost = weight.double() - whole.double() * scale.double()
    assert float(lost.norm() / weight.double().norm()) < 0.01


@pytest.mark.parametrize("layer", ["0", "3", "4"])
def test_weight_only_multiplies_by_the_rounded_weight_and_takes_a_byte_each(layer: str) -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step(layer, mode="weight_only"),)), x)
    assert applied.edits, applied.skipped
    weight = model.get_submodule(layer).weight
    whole, scale = quantised(weight)
    dense = copy.deepcopy(model)
    dense.get_submodule(layer).weight = nn.Parameter(whole * scale)
    torch.testing.assert_close(applied.model(x), dense(x))
    change = applied.profile.cost - applied.before.cost
    assert change.param_bytes == -3 * weight.numel() + 4 * weight.shape[0]
    assert change.params == weight.shape[0]  # the scales


def test_a_large_linear_in_parts_answers_as_a_whole() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(700, 1001)), torch.randn(2, 3, 700)  # 700,700 numbers: two parts, one shorter
    applied = apply(model, Plan(steps=(_step("0"),)), x)
    assert "split" in applied.model[0].code
    whole, scale = quantised(model[0].weight)
    torch.testing.assert_close(applied.model(x), nn.functional.linear(x, whole * scale, model[0].bias))
    assert applied.profile.cost.macs == applied.before.cost.macs


def test_an_embedding_has_a_scale_for_each_row() -> None:
    torch.manual_seed(0)
    model, ids = nn.Sequential(nn.Embedding(30, 6, padding_idx=0), nn.Linear(6, 2)), torch.tensor([[0, 3, 29]])
    applied = apply(model, Plan(steps=(_step("0"),)), ids)
    whole, scale = quantised(model[0].weight)
    assert torch.equal(applied.model[0](ids), (whole * scale)[ids])


def test_gradients_flow_through_a_frozen_weight() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("3", mode="weight_only"),)), x)
    applied.model(x).sum().backward()
    assert applied.model.get_parameter("0.weight").grad is not None
    assert applied.model.get_parameter("3.bias").grad is not None
    assert {name for name, p in applied.model.named_parameters() if not p.requires_grad} == {"3.weight", "3.scale"}


def _by_hand(x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    # Krishnamoorthi 2018, 3.1: a range that holds zero, 128 steps (seven bits, so that no sum of two products is cut
    # off), zero one of them.
    low, high = min(0.0, float(x.detach().min())), max(0.0, float(x.detach().max()))
    step = (high - low) / 127
    zero = round(-low / step)
    rounded = ((x / step).round() + zero).clamp(0, 127) - zero
    whole, scale = quantised(layer.weight)
    return nn.functional.linear(rounded * step, whole * scale, layer.bias)


@pytest.mark.parametrize("bias", [True, False])
def test_dynamic_rounds_inputs_over_the_range_of_the_batch(bias: bool) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 32, bias=bias)), torch.randn(9, 64)
    applied = apply(model, Plan(steps=(_step("0", mode="dynamic"),)), x)
    assert applied.edits, applied.skipped
    expected = _by_hand(x, model[0])
    # An input halfway between two steps may fall to the other one: a step is 0.05 here, a weight at most 0.125.
    torch.testing.assert_close(applied.model(x), expected, atol=0.01, rtol=0)
    assert float((applied.model(x) - expected).detach().norm() / expected.detach().norm()) < 2e-3
    assert float((applied.model(x) - model(x)).detach().norm()) > 1e-3  # and it is not the dense layer


def test_dynamic_is_profiled_as_foreseen_also_without_being_built() -> None:
    model, x = _model()
    step, known = _step("3", mode="dynamic"), profile(model, x)
    seen = foresee(known, step)
    for found in (apply(model, Plan(steps=(step,)), x).profile, hypothetical(model, Plan(steps=(step,)), x)):
        assert [(layer.name, layer.kind, layer.tensors) for layer in found.layers] == [
            (layer.name, layer.kind, layer.tensors) for layer in seen.layers
        ]
        assert [layer.self_cost.macs for layer in found.layers] == [layer.self_cost.macs for layer in seen.layers]
        assert found.cost.param_bytes - known.cost.param_bytes == -3 * 54 * 20  # the scales are packed, and not seen
        assert found.cost.params == known.cost.params


def test_nothing_is_packed_for_a_shadow() -> None:
    model, x = _model()
    shadow = make_shadow(model).model
    INT8.rewrite(shadow, _step("3", mode="dynamic"), profile(model, x))
    assert not any(isinstance(v, torch.ScriptObject) for m in shadow.modules() for v in vars(m).values())


def test_a_dynamic_layer_can_be_copied_pickled_stated_and_saved(tmp_path: Path) -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("3", mode="dynamic"), _step("4", mode="dynamic"))), x)
    assert len(applied.edits) == 2
    expected = applied.model(x)
    assert torch.equal(copy.deepcopy(applied.model)(x), expected)
    other = apply(copy.deepcopy(model).apply(_spoil), applied.plan, x).model
    other.load_state_dict(applied.model.state_dict())
    assert torch.equal(other(x), expected)
    loaded = load(save(applied, tmp_path / "recipe"), copy.deepcopy(model).apply(_spoil))
    assert torch.equal(loaded(x), expected)


def _spoil(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        nn.init.normal_(parameter)


def test_a_weight_only_layer_can_be_pickled_without_us() -> None:
    model, x = _model()
    made = apply(model, Plan(steps=(_step("0"), _step("3"))), x).model
    pickled = pickle.dumps(made)
    assert b"effwidgets" not in pickled
    twin = pickle.loads(pickled)  # noqa: S301  our own bytes
    assert list(twin.state_dict()) == list(made.state_dict())
    assert torch.equal(twin(x), made(x))


def test_split_then_quantise_is_estimated_as_it_turns_out() -> None:
    model, x = _model()
    split = Step(transform="low_rank", layers=("3",), settings=settings(rank=5))
    known = profile(model, x)
    for modes in (("weight_only", "weight_only"), ("dynamic", "weight_only"), ("weight_only", "dynamic")):
        plan = Plan(steps=(split, _step("3.0", mode=modes[0]), _step("3.1", mode=modes[1])))
        applied = apply(model, plan, x)
        assert len(applied.edits) == 3, applied.skipped
        change, estimate = applied.profile.cost - known.cost, estimate_plan(known, plan)
        for name in INT8.exact:
            assert getattr(change, name) == getattr(estimate, name), name


def test_modes_are_offered_where_torch_has_a_kernel() -> None:
    model, x = _model()
    found = {site.layers[0]: site for site in INT8.sites(profile(model, x)) if isinstance(site, Site)}
    assert found["0"].knobs[0].choices == ("weight_only",)
    assert found["3"].knobs[0].choices == ("weight_only", "dynamic")
    half = nn.Sequential(nn.Linear(8, 8)).to(torch.bfloat16)
    site = next(iter(INT8.sites(profile(half, torch.ones(1, 8, dtype=torch.bfloat16)))))
    assert isinstance(site, Site)
    assert site.knobs[0].choices == ("weight_only",)


def test_what_is_quantised_already_is_skipped() -> None:
    model, x = _model()
    plan = Plan(steps=(_step("0"), _step("3", mode="dynamic"), _step("4")))
    again = apply(model, plan, x).profile
    reasons = {site.layers[0]: site.reason for site in INT8.sites(again) if isinstance(site, Skip)}
    assert set(reasons) == {"0", "3.linear", "3.linear._packed_params", "4"}
    assert set(reasons.values()) == {"it has another format already"}


def test_what_is_asked_wrongly_is_refused() -> None:
    model, x = _model()
    known = profile(model, x)
    with pytest.raises(UnknownNameError, match="'weight_only', 'dynamic'"):
        INT8.estimate(known, _step("3", mode="static"))
    with pytest.raises(TransformError, match="written for a Linear"):
        INT8.estimate(known, _step("0", mode="dynamic"))
    table = nn.Sequential(nn.Embedding(9, 4, max_norm=1.0), nn.Linear(4, 4))
    applied = apply(table, Plan(steps=(_step("0"),)), torch.zeros(2, 3, dtype=torch.long))
    assert "max_norm" in applied.skipped[0].reason


def test_channels_of_a_layer_in_another_format_cannot_be_pruned_in_a_plan() -> None:
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)),
        torch.ones(1, 8),
    )
    prune = Step(transform="channel_prune", layers=("0",), settings=settings(channels=8))
    known = profile(model, x)
    open_before = {group.name for group in known.groups if group.obstacle is None}
    open_after = {group.name for group in foresee(known, _step("2")).groups if group.obstacle is None}
    assert open_before - open_after == {"0", "2"}
    with pytest.raises(TransformError, match="prune before that"):
        estimate_plan(known, Plan(steps=(_step("2"), prune)))
    applied = apply(model, Plan(steps=(prune, _step("2"))), x)
    assert len(applied.edits) == 2, applied.skipped
    change, estimate = applied.profile.cost - known.cost, estimate_plan(known, Plan(steps=(prune, _step("2"))))
    for name in INT8.exact:
        assert getattr(change, name) == getattr(estimate, name), name
