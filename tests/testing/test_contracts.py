"""The shipped suites catch what they are for: each promise, broken on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from effwidgets.metrics.base import METRICS
from effwidgets.metrics.cost import Macs
from effwidgets.profiling.profile import profile
from effwidgets.records import VIEWS, Cost, Edit, Profile, Site, Skip, Step, View
from effwidgets.testing.contracts import HOSTILE, MetricContract, TransformContract, ViewContract, hostile, settings_of
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.factorize.low_rank import LowRank
from effwidgets.transforms.surgery import find_layer


class OffByOne(LowRank):
    def estimate(self, profile: Profile, step: Step) -> Cost:
        return super().estimate(profile, step) + Cost(params=1)


class NoReason(LowRank):
    def sites(self, profile: Profile) -> Iterator[Site | Skip]:
        return (dataclasses.replace(found, reason=" ") for found in super().sites(profile))


class WritesOld(LowRank):
    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        with torch.no_grad():
            find_layer(original, edit.step.layers[0]).bias.add_(0)
        return super().fit(model, original, edit, calibration)


class DrawsNumbers(LowRank):
    def fit(self, model: nn.Module, original: nn.Module, edit: Edit, calibration: Calibration | None) -> Edit:
        torch.rand(1)
        return super().fit(model, original, edit, calibration)


# A class of the plug-in's own: a model with it does not run where the plug-in is absent, whatever it is called.
Wrapper = type("Sequential", (nn.Sequential,), {"__module__": __name__})


class OwnModules(LowRank):
    def rewrite(self, model: nn.Module, step: Step, profile: Profile) -> Edit:
        edit = super().rewrite(model, step, profile)
        made = find_layer(model, step.layers[0])
        made.__class__ = Wrapper
        return edit


class NeverWhole(LowRank):
    def factors(self, weight: Tensor, ranks: tuple[int, ...]) -> tuple[Tensor, ...]:
        first, second = super().factors(weight, ranks)
        return first, second * 0.9


class RememberedOrder(LowRank):
    seen = 0

    def factors(self, weight: Tensor, ranks: tuple[int, ...]) -> tuple[Tensor, ...]:
        type(self).seen += 1
        first, second = super().factors(weight, ranks)
        scale = 1 + type(self).seen
        return first * scale, second / scale


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (OffByOne, "params estimated"),
        (NoReason, "no reason at"),
        (WritesOld, "changes the model that it was copied from"),
        (DrawsNumbers, "the random state"),
        (OwnModules, "torch.nn was expected"),
        (NeverWhole, "nothing removed"),
        (RememberedOrder, "depends on the order"),
    ],
)
def test_a_transformation_that_breaks_a_promise_is_caught(broken, message):
    found = specimen("perceptron")
    broken.name = "broken_for_test"
    transform = TRANSFORMS.add("broken_for_test", broken())
    try:
        with pytest.raises(AssertionError, match=message):
            TransformContract(transform).check(found.build(), found.inputs())
    finally:
        TRANSFORMS.remove("broken_for_test")


def test_a_metric_that_breaks_a_promise_is_caught():
    class Counts(Macs):
        name = "broken_for_test"
        calls = 0

        def measure(self, profile: Profile) -> float:
            self.calls += 1
            return float(self.calls)

    class Whole(Counts):
        def measure(self, profile: Profile) -> float:
            return 1

    known = profile(specimen("perceptron").build(), specimen("perceptron").inputs())
    for broken, message in ((Counts(), "otherwise the second time"), (Whole(), "a float was expected")):
        METRICS.add("broken_for_test", broken)
        try:
            with pytest.raises(AssertionError, match=message):
                MetricContract(broken).check(known)
        finally:
            METRICS.remove("broken_for_test")


def test_a_view_that_lets_names_through_as_markup_is_caught():
    known = profile(specimen("perceptron").build(), specimen("perceptron").inputs())
    pages = {
        "reaches the page as markup": lambda record: "".join(layer.name for layer in record.layers),
        "no layer name is shown": lambda record: str(record.cost.macs),
    }
    for message, draw in pages.items():
        view = View(shows=Profile, medium="html", draw=draw, title="Broken")
        VIEWS.add("broken_for_test", view)
        try:
            with pytest.raises(AssertionError, match=message):
                ViewContract(view).check(known)
        finally:
            VIEWS.remove("broken_for_test")


@pytest.mark.parametrize(
    "name", [name for name, view in VIEWS.items() if view.medium != "live" and view.shows is Profile]
)
def test_our_views_of_a_profile_keep_their_promises(name):
    found = specimen("residual")
    ViewContract(VIEWS[name]).check(profile(found.build(), found.inputs()))


def test_a_hostile_record_is_spoiled_in_every_name_and_still_hangs_together():
    known = profile(specimen("residual").build(), specimen("residual").inputs())
    spoiled = hostile(known)
    assert all(HOSTILE in layer.name for layer in spoiled.layers[1:])
    assert {layer.name.rpartition(".")[0] for layer in spoiled.layers} <= {layer.name for layer in spoiled.layers}
    assert spoiled.cost == known.cost


def test_settings_run_from_the_lowest_to_what_removes_nothing():
    known = profile(specimen("residual").build(), specimen("residual").inputs())
    sites = [found for found in TRANSFORMS["bottleneck"].sites(known) if isinstance(found, Site)]
    chosen = [dict(values) for values in settings_of(sites[0])]
    assert chosen[0] == {"rank_in": 1, "rank_out": 1}
    assert chosen[-1] == {"rank_in": 8, "rank_out": 8}


def _add_one(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].weight[0, 0] += 1


CHANGES = {
    "value": _add_one,
    "replaced": lambda model: setattr(model[0], "weight", nn.Parameter(model[0].weight.detach().clone())),
    "mode": lambda model: model[1].eval(),
    "hook": lambda model: model[0].register_forward_pre_hook(lambda *_: None),
    "frozen": lambda model: model[0].bias.requires_grad_(requires_grad=False),
    "gradient": lambda model: setattr(model[0].bias, "grad", torch.zeros(4)),
    "random": lambda _: torch.rand(1),
    "module": lambda model: model.__setitem__(1, nn.ReLU()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_kind_of_change_to_a_model_is_seen(change):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    before = state_of(model)
    assert before.differences(state_of(model)) == []
    change(model)
    assert before.differences(state_of(model))
