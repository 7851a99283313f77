"""The verbs that ask what would be, from the face of the package and from a line of the magic."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets.errors import InputError, ModelError, UnknownNameError
from effwidgets.magics import effdl
from effwidgets.records import Comparison, Plan, Step, Sweep, settings
from effwidgets.session import session_of
from effwidgets.testing.untouched import state_of

STEP = Step(transform="low_rank", layers=("head",), settings=settings(rank=2))


def test_compare_takes_what_profile_returns(model, x):
    found = effwidgets.compare(effwidgets.profile(model, x), effwidgets.profile(model, x[:4]))
    assert isinstance(found, Comparison)
    assert found.change.macs == -found.after.cost.macs  # half of the batch


@pytest.mark.parametrize(
    ("wrong", "door"), [(lambda model: model, "compare\\(profile"), (lambda model: Plan(), "preview\\(model, plan")]
)
def test_something_else_than_a_profile_is_answered_with_the_right_door(model, x, wrong, door):
    with pytest.raises(InputError, match=door):
        effwidgets.compare(effwidgets.profile(model, x), wrong(model))


def test_what_apply_returned_is_answered_with_its_two_profiles(model, x):
    with pytest.raises(InputError, match=r"compare\(applied.before, applied.profile\)"):
        effwidgets.compare(effwidgets.apply(model, STEP, x), effwidgets.profile(model, x))


def test_a_preview_is_the_comparison_that_apply_would_give(model, x):
    found = effwidgets.preview(model, STEP, x)
    applied = effwidgets.apply(model, STEP, x)
    real = effwidgets.compare(applied.before, applied.profile)
    assert (found.layers, found.memory, found.change) == (real.layers, real.memory, real.change)
    assert found.layer("head").state == "replaced"
    assert any("Nothing of this was built" in note for note in found.notes)


def test_a_preview_takes_the_call_seen_last_and_any_form_of_a_plan(model, x):
    suggestions = effwidgets.suggest(model, x)
    for plan in (suggestions, suggestions[0], suggestions[0].step, suggestions.plan(0)):
        assert effwidgets.preview(model, plan).before.inputs == ((8, 3, 6, 6),)


def test_a_step_that_cannot_be_done_is_a_warning_of_the_preview(model, x):
    wrong = Step(transform="low_rank", layers=("head",), settings=settings(rank=400))
    found = effwidgets.preview(model, wrong, x)
    assert any("rank" in warning for warning in found.warnings)
    assert found.change.macs == 0
    with pytest.raises(UnknownNameError, match="head"):
        effwidgets.preview(model, dataclasses.replace(STEP, layers=("heed",)), x)


def test_compare_preview_and_sweep_leave_the_model_untouched(model, x):
    before = state_of(model)
    found = effwidgets.preview(model, STEP, x)
    effwidgets.compare(found.before, found.after)
    effwidgets.sweep(model, x, batch=(1, 2))
    assert before.differences(state_of(model)) == []


def test_a_sweep_takes_the_call_seen_last_and_is_of_the_models_session(model, x):
    effwidgets.profile(model, x)
    found = effwidgets.sweep(model, batch=2)
    assert found.points[0].inputs == ((2, 3, 6, 6),)
    assert found.origin == session_of(model).name


def test_a_sweep_takes_a_function_of_the_size(model):
    found = effwidgets.sweep(model, lambda n: torch.zeros(1, 3, n, 2 * n), sizes=(4, 6, 8, 10))
    assert [point.inputs for point in found.points][:2] == [((1, 3, 4, 8),), ((1, 3, 6, 12),)]
    # 2 n² places: two 3 x 3 convolutions, and the head once.
    assert found.growth_of("macs").coefficients == ((16 * 4, 1), (0, 1), (2 * 9 * (3 * 16 + 16 * 16), 1))


def test_something_else_than_options_is_refused(model, x):
    with pytest.raises(InputError, match="options is int"):
        effwidgets.sweep(model, x, batch=2, options=3)


def test_a_preview_asks_for_the_second_opinion_where_apply_does(model, x, monkeypatch):
    step = Step(transform="channel_prune", layers=("conv1",), settings=settings(channels=8))
    assert effwidgets.preview(model, step, x).change.params < 0
    monkeypatch.setattr("effwidgets.profiling.coupling.opinion._theirs", lambda *_: frozenset({("head", "in", 1)}))
    found, applied = effwidgets.preview(model, step, x), effwidgets.apply(model, step, x)
    assert len(applied.skipped) == 1
    assert found.change == applied.profile.cost - applied.before.cost
    assert any("torch-pruning" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    "verb",
    [
        effwidgets.profile,
        effwidgets.reconcile,
        effwidgets.health,
        lambda model, x: effwidgets.sweep(model, x, batch=(1, 2)),
        lambda model, x: effwidgets.preview(model, STEP, x),
    ],
    ids=["profile", "reconcile", "health", "sweep", "preview"],
)
def test_every_verb_remembers_a_call_that_ran_and_none_that_did_not(model, x, verb):
    session = session_of(model)
    with contextlib.suppress(ModelError):
        verb(model, x[:, :2])
    assert session.seen is None
    verb(model, x)
    assert session.seen.args[0] is x


def test_a_sweep_of_a_function_has_no_call_to_remember(model):
    effwidgets.sweep(model, lambda n: torch.zeros(n, 3, 6, 6), sizes=(1, 2))
    assert session_of(model).seen is None


@pytest.fixture
def names(model, x):
    return {"model": model, "x": x, "step": STEP, "torch": torch, "nn": nn}


def test_the_words_of_the_magic_do_the_same(names, model, x):
    names["before"] = effdl("profile model x", names=names)
    names["after"] = effdl("profile model x[:4]", names=names)
    assert effdl("compare before after", names=names) == effwidgets.compare(names["before"], names["after"])
    found = effdl("sweep model x --batch 1,2,4", names=names)
    assert isinstance(found, Sweep)
    assert [point.size for point in found.points] == [1, 2, 4]
    assert effdl("sweep model x --sizes (8,10,12) --dims {0:(2,3)} --train", names=names).train
    assert effdl("preview model --plan step", names=names).layer("head").state == "replaced"
    effdl("suggest model x", names=names)
    assert list(effdl("preview model --pick 0", names=names).places())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep model x --batch 1,two", "whole numbers such as 1,2,4,8"),
        ("sweep model x", "One thing is swept at a time, and none came"),
        ("sweep model x --batch 1,2 --resolution 8,16", "batch and resolution came"),
        ("preview model", "--pick 0,2"),
        ("compare model model", "two profiles were expected"),
    ],
)
def test_a_line_that_cannot_be_done_says_what_was_expected(names, line, message):
    with pytest.raises(InputError, match=message):
        effdl(line, names=names)
