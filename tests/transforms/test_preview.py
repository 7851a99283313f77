"""What a plan would change is what it changes: over the zoo, for a step of each transformation, to the integer."""

from __future__ import annotations

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import as_call
from effwidgets.profiling.profile import profile
from effwidgets.records import Cost, Plan, Site, Step
from effwidgets.testing.contracts import settings_of
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, Specimen, specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.preview import preview
from effwidgets.whatif.comparison import compare

EVERY = [
    # The quick suite looks at one pair of four, spread over all models and techniques.
    pytest.param(found, name, id=f"{found.name}-{name}", marks=[] if (i + j) % 4 == 0 else [pytest.mark.slow])
    for i, found in enumerate(MODELS)
    for j, name in enumerate(TRANSFORMS)
]


@pytest.mark.parametrize(("model", "name"), EVERY)
def test_a_preview_equals_what_apply_makes_in_every_layer_and_every_memory_number(model: Specimen, name: str):
    built, inputs, transform = model.build(), model.inputs(), TRANSFORMS[name]
    known = profile(built, inputs)
    sites = [site for site in transform.sites(known) if isinstance(site, Site)]
    if not sites:
        return  # tests/transforms/table.txt says why
    site = sites[len(sites) // 2]
    step = Step(transform=name, layers=site.layers, settings=settings_of(site)[0])
    data = Calibration(batches=(as_call(inputs),)) if getattr(transform, "needs_calibration", False) else None
    found = preview(built, Plan(steps=(step,)), inputs, known=known)
    applied = apply(built, Plan(steps=(step,)), inputs, calibration=data, repair=False, known=known)
    real = compare(applied.before, applied.profile)
    assert found.layers == real.layers
    assert found.memory == real.memory
    assert found.after.cost == applied.profile.cost
    assert sum((place.whole_change for place in found.places()), Cost()) == found.change
    said = transform.estimate(known, step)
    assert all(getattr(found.change, field) == getattr(said, field) for field in transform.exact)
    assert found.warnings == ()


def test_a_preview_looks_at_the_model_itself_and_leaves_it_alone():
    found = specimen("perceptron")
    model, inputs = found.build(), found.inputs()
    before = state_of(model)
    step = Step(transform="low_rank", layers=("2",), settings=(("rank", 4),))
    done = preview(model, Plan(steps=(step,)), inputs)
    assert before.differences(state_of(model)) == []
    assert done.layer("2").change.params == 4 * (32 + 32) - 32 * 32


def test_a_group_that_torch_pruning_bars_is_left_out_of_the_preview_as_of_what_is_applied(monkeypatch):
    found = specimen("residual")
    model, inputs = found.build(), found.inputs()
    plan = Plan(steps=(Step(transform="channel_prune", layers=("block1.conv1",), settings=(("channels", 4),)),))
    assert preview(model, plan, inputs).change.params < 0
    odd = frozenset({("head", "in", 1)})
    monkeypatch.setattr("effwidgets.profiling.coupling.opinion._theirs", lambda *_: odd)
    shown, applied = preview(model, plan, inputs), apply(model, plan, inputs)
    assert "torch-pruning's dependency graph and ours differ" in applied.skipped[0].reason
    assert any("torch-pruning's dependency graph and ours differ" in warning for warning in shown.warnings)
    assert shown.change == applied.profile.cost - applied.before.cost == Cost()


def test_a_plan_that_names_what_there_is_not_is_refused_before_anything_is_run():
    found = specimen("perceptron")
    unknown = Plan(steps=(Step(transform="low_rank", layers=("nowhere",), settings=(("rank", 4),)),))
    for plan, error in ((unknown, UnknownNameError), (unknown.steps, InputError)):
        with pytest.raises(error):
            preview(found.build(), plan, "no inputs")
