"""Compiling in place: said, compared and timed, or left out with the reason."""

import shutil

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import profile
from effwidgets.records import Cost, Plan, Site, Skip, Step
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.recipes.recipe import load, save
from effwidgets.transforms.schedule import fuse
from effwidgets.transforms.schedule.fuse import FUSE

PLAN = Plan(steps=(Step(transform="fuse", layers=("",)),))


def test_the_copy_is_marked_for_compiling_and_a_recipe_marks_it_again(tmp_path):
    found = specimen("perceptron")
    model = found.build()
    done = apply(model, PLAN, found.inputs())
    assert done.skipped == ()
    assert done.model._compiled_call_impl is not None
    assert model._compiled_call_impl is None
    assert any("not run compiled" in note for note in done.edits[0].notes)
    assert done.edits[0].measured == ()
    assert load(save(done, tmp_path / "recipe"), model)._compiled_call_impl is not None


def test_nothing_is_promised():
    found = specimen("residual")
    known = profile(found.build(), found.inputs())
    assert FUSE.estimate(known, PLAN.steps[0]) == Cost()
    (site,) = FUSE.sites(known)
    assert isinstance(site, Site)
    assert not site.advised
    assert any("only a measurement tells" in warning for warning in site.warnings)
    with pytest.raises(TransformError, match="one module"):
        FUSE.estimate(known, Step(transform="fuse", layers=("stem", "head")))


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = specimen("perceptron")
    (skip,) = FUSE.sites(profile(found.build(), found.inputs()))
    assert isinstance(skip, Skip)
    assert "C++ compiler" in skip.reason


def test_one_that_cannot_be_compiled_is_given_back(monkeypatch):
    monkeypatch.setattr(fuse, "BACKEND", _fails)
    found = specimen("perceptron")
    done = apply(found.build(), PLAN, found.inputs(), calibration=found.inputs(), repair=False)
    assert done.edits == ()
    assert "cannot be compiled" in done.skipped[0].reason
    assert done.model._compiled_call_impl is None


def test_one_that_answers_otherwise_when_compiled_is_given_back(monkeypatch):
    monkeypatch.setattr(fuse, "BACKEND", _wrong)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
    done = apply(model, PLAN, torch.ones(2, 6), calibration=torch.ones(2, 6), repair=False)
    assert done.edits == ()
    assert "apart; it was not kept" in done.skipped[0].reason


def _fails(*_):
    raise RuntimeError("no kernels today")


def _wrong(graph, _inputs):
    return lambda *args: tuple(out + 1 for out in graph(*args))


@pytest.mark.slow
@pytest.mark.skipif(fuse.compiler() is None, reason="no C++ compiler here")
def test_a_compiled_model_is_compared_and_timed():
    found = specimen("residual")
    model = found.build()
    done = apply(model, PLAN, found.inputs(), calibration=found.inputs(), repair=False)
    assert done.skipped == ()
    measured = dict(done.edits[0].measured)
    assert 0 < measured["plain_s"] < 1
    assert 0 < measured["compiled_s"] < 1
    with torch.no_grad():
        x = found.inputs().args[0]
        assert torch.allclose(done.model.eval()(x), model(x), rtol=0, atol=1e-5)
