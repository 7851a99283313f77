"""Norms folded at the end of a plan."""

from __future__ import annotations

import torch

from effwidgets.records import Plan, Step, settings
from effwidgets.search.selection.closing import closed, opened
from effwidgets.transforms.apply import apply
from tests.search.conftest import low_rank

PAIRS = [("stem", "bn0"), ("conv1", "bn1"), ("conv2", "bn2")]
CUT = Plan(steps=(Step(transform="channel_prune", layers=("conv1",), settings=settings(channels=12, criterion="l2")),))


def test_every_norm_behind_a_layer_is_folded_and_nothing_else_is_done(known):
    plan = closed(known, CUT)
    assert plan.steps[:1] == CUT.steps
    assert [(step.transform, step.layers) for step in plan.steps[1:]] == [("fold_bn", pair) for pair in PAIRS]


def test_the_answers_are_those_without_it(convolutional, images, known):
    plain, folded = (
        apply(convolutional, plan, images, known=known, repair=False).model.eval() for plan in (CUT, closed(known, CUT))
    )
    with torch.no_grad():  # exact but for rounding in float32; the outputs are of the order of one
        torch.testing.assert_close(folded(images), plain(images), rtol=1e-4, atol=1e-5)


def test_a_layer_that_was_factored_takes_the_norm_into_its_last_factor(convolutional, images, known):
    plan = closed(known, low_rank("conv1", 4))
    made = apply(convolutional, plan, images, known=known)
    assert made.skipped == ()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in made.model.modules())


def test_closed_twice_is_closed_once_and_opened_takes_it_back(known):
    assert closed(known, closed(known, CUT)) == closed(known, CUT)
    assert opened(closed(known, CUT)) == CUT
    assert opened(Plan()) == Plan()
