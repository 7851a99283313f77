"""Plans of several steps: each meets what the earlier ones left, and the estimate knows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from effwidgets.profiling import ProfileOptions
from effwidgets.profiling.calls import as_call
from effwidgets.profiling.profile import profile
from effwidgets.records import Edit, Plan, Profile, Site, Step
from effwidgets.search.advice.places import Place, step_at
from effwidgets.testing.zoo import MODELS
from effwidgets.transforms.apply import LEFT_OUT, apply, hypothetical
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.foresee import estimate_plan, foresee

PAIRS = (
    ("channel_prune", "channel_prune"),
    ("channel_prune", "spatial_svd"),
    ("channel_prune", "low_rank"),
    ("channel_prune", "bottleneck"),
    ("channel_prune", "fc_to_conv"),
    ("channel_prune", "fold_bn"),
    ("channel_prune", "int8"),
    ("channel_prune", "bf16"),
    ("low_rank", "low_rank"),
    ("low_rank", "channel_prune"),
    ("low_rank", "int8"),
    ("low_rank", "unstructured"),
    ("spatial_svd", "low_rank"),
    ("spatial_svd", "channel_prune"),
    ("spatial_svd", "int8"),
    ("tucker2", "channel_prune"),
    ("tucker2", "codebook"),
    ("bottleneck", "int8"),
    ("cp", "int8"),
    ("depthwise_separable", "bf16"),
    ("fc_to_conv", "low_rank"),
    ("fold_bn", "spatial_svd"),
    ("fold_bn", "channel_prune"),
    ("fold_bn", "int8"),
    ("unstructured", "codebook"),
    ("two_four", "bf16"),
    ("low_rank", "checkpoint"),
    ("channel_prune", "checkpoint"),
)
"""Prune then split, split then quantise, fold then split, split twice, and neighbouring prunings."""


def _step(site: Site) -> Step:
    """Return the step at half of what saves; a choice at its first."""
    place = Place(TRANSFORMS[site.transform], site)
    return step_at(place, 0.5)


def _sites(name: str, known: Profile) -> list[Site]:
    return [found for found in TRANSFORMS[name].sites(known) if isinstance(found, Site)]


def _touching(sites: list[Site], layers: tuple[str, ...], known: Profile) -> Site | None:
    """Return the site that meets most of what the first step changed; the first one where none does."""

    def near(site: Site) -> int:
        group = next((group for group in known.groups if group.name in site.layers), None)
        held = {*site.layers, *(member.layer for member in group.members)} if group else set(site.layers)
        return sum(name.startswith(tuple(layers)) for name in held)

    return max(sites, key=near, default=None)


def _plans(first: str, second: str) -> Iterator[tuple[str, object, object, Profile, Plan]]:
    for specimen in MODELS:
        model, inputs = specimen.build(), specimen.inputs()
        known = profile(model, inputs, options=ProfileOptions(second_opinion=True))
        for site in _sites(first, known)[:2]:
            one = _step(site)
            after = foresee(known, one)
            found = _touching(_sites(second, after), one.layers, after)
            if (found is not None and found.layers != one.layers) or (found is not None and first != second):
                yield specimen.name, model, inputs, known, Plan(steps=(one, _step(found)))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_steps_cost_what_the_estimate_of_both_says(first: str, second: str) -> None:
    exact = TRANSFORMS[first].exact & TRANSFORMS[second].exact
    seen = 0
    for name, model, inputs, known, plan in _plans(first, second):
        found = hypothetical(model, plan, inputs, known=known)
        assert not any(note.startswith(LEFT_OUT) for note in found.notes), (name, found.notes)
        said, is_so = estimate_plan(known, plan), found.cost - known.cost
        for field in exact:
            assert getattr(said, field) == getattr(is_so, field), f"{name}: {field} of {[str(step) for step in plan]}"
        seen += 1
    assert seen, f"no model of the zoo has a place for {first} and then {second}"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_steps_are_done_and_verified_on_one_model(first: str, second: str) -> None:
    for name, model, inputs, known, plan in _plans(first, second):
        data = Calibration(batches=(as_call(inputs),))
        done = apply(model, plan, inputs, calibration=data, repair=False, known=known)
        assert len(done.edits) == 2, (name, done.skipped)
        assert all(isinstance(edit, Edit) for edit in done.edits)
        return
    pytest.fail(f"no model of the zoo has a place for {first} and then {second}")


def test_neighbouring_prunings_multiply() -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(16, 16, bias=False) for _ in range(3)))
    x = torch.ones(1, 16)
    steps = tuple(Step(transform="channel_prune", layers=(name,), settings=(("channels", 8),)) for name in ("0", "1"))
    known = profile(model, x)
    # 16 x 8 + 8 x 8 + 8 x 16 are left of 3 x 16 x 16.
    assert estimate_plan(known, Plan(steps=steps)).params == (128 + 64 + 128) - 768
    alone = sum(TRANSFORMS["channel_prune"].estimate(known, step).params for step in steps)
    assert alone != estimate_plan(known, Plan(steps=steps)).params
    assert apply(model, Plan(steps=steps), x).profile.cost.params == 320
