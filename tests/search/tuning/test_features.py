"""Layers inside that are to answer as the teacher's do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.search.tuning.features import Features, taps


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def features(*layers):
    model = nn.Sequential(nn.Identity(), nn.Identity())
    return Features(model, model, layers)


def test_the_same_answers_are_no_distance_apart_and_nothing_is_one():
    his = drawn(8, 4)
    assert float(features("0")({"0": his}, {"0": his})) == 0
    assert float(features("0")({"0": torch.zeros(8, 4)}, {"0": his})) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(64, 6), (8, 9, 6), (4, 6, 5, 5)])
def test_channels_that_follow_from_those_left_are_no_distance_apart(shape):
    # The teacher's third of the channels are sums of the others, so nothing is lost without them.
    place = 1 if len(shape) == 4 else len(shape) - 1
    mine = drawn(*shape)
    more = mine.narrow(place, 0, 2) * 2 - mine.narrow(place, 1, 2)
    his = torch.cat([mine, more], place)
    compared = features("0")
    assert float(compared({"0": mine}, {"0": his})) < 1e-4  # held back by a thousandth: (1e-3)^2 and rounding
    assert not compared.notes


def test_the_map_stays_that_of_the_first_batch():
    compared, mine = features("0"), drawn(64, 3)
    his = torch.cat([mine, mine], 1)
    compared({"0": mine}, {"0": his})
    assert float(compared({"0": 2 * mine}, {"0": his})) == pytest.approx(1, rel=0.02), "twice too large: 100% off"


def test_gradients_reach_the_student_through_the_map():
    mine = drawn(64, 3).requires_grad_()
    features("0")({"0": mine}, {"0": drawn(64, 5, seed=1)}).backward()
    assert mine.grad.abs().sum() > 0


def test_shapes_that_differ_in_more_than_the_channels_are_left_out_with_a_note():
    compared = features("0", "1")
    found = compared({"0": drawn(8, 4, 5, 5)}, {"0": drawn(8, 6, 3, 3)})
    assert found is None
    assert "(8, 4, 5, 5) and the teacher's (8, 6, 3, 3)" in compared.notes["0"]
    assert compared.notes["1"] == "1 did not run, so it is not compared"


def test_taps_listen_only_while_they_are_asked_to():
    model, kept = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), {}
    with taps(model, ("1", "none"), kept):
        out = model(torch.ones(1, 2))
        assert kept == {"1": out}
    assert not kept
    assert not model[1]._forward_hooks
