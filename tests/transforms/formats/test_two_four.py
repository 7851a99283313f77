"""Two of four: the pattern holds everywhere, and the larger two are the ones that stay."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets import profile
from effwidgets.profiling.sparsity import sparsity_of
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.formats.two_four import TWO_FOUR


def _step(layer: str, **values: object) -> Step:
    return Step(transform="two_four", layers=(layer,), settings=settings(values))


def _model() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 5))
    return model, torch.randn(2, 3, 6, 6)


def test_a_sparse_kernel_could_take_the_weight_afterwards() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("1"), _step("3"))), x)
    found = {zeros.name: zeros for zeros in sparsity_of(applied.model)}
    for name in ("1.weight", "3.weight"):
        assert (found[name].two_of_four, found[name].share) == (1.0, 0.5)
    assert applied.profile.cost == applied.before.cost


def test_what_stays_is_what_was() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("3"),)), x)
    old, new = model[3].weight, applied.model.get_parameter("3.weight")
    assert torch.equal(new[new != 0], old[new != 0])
    kept = new.reshape(-1, 4).abs().sum(1)
    best = old.reshape(-1, 4).abs().topk(2, dim=1).values.sum(1)
    torch.testing.assert_close(kept, best)


def test_wanda_keeps_the_inputs_that_carry_more() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    x = torch.tensor([[9.0, 9.0, 1.0, 1.0]])  # worth 9, 18, 3, 4
    applied = apply(model, Plan(steps=(_step("0", criterion="wanda"),)), x, calibration=x)
    assert applied.model.get_parameter("0.weight").tolist() == [[1.0, 2.0, 0.0, 0.0]]


def test_inputs_that_do_not_come_in_fours_are_skipped_with_their_number() -> None:
    model, x = _model()
    found = {site.layers[0]: site for site in TWO_FOUR.sites(profile(model, x))}
    assert isinstance(found["0"], Skip)
    assert "reads 3" in found["0"].reason
    assert isinstance(found["1"], Site)
    assert any("to_sparse_semi_structured" in warning for warning in found["3"].warnings)
