from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from effwidgets.errors import UnknownNameError
from effwidgets.reconcile import ReconcileOptions, reconcile
from effwidgets.records import Reconciliation


@pytest.fixture(scope="module")
def found() -> Reconciliation:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6))
    return reconcile(model, torch.zeros(1, 3, 6, 6), options=ReconcileOptions(backward=True, origin="here"))


def test_it_survives_json_and_stays_equal_and_hashable(found):
    again = Reconciliation.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert hash(again) == hash(found)
    assert "origin" not in found.to_dict()


def test_its_repr_is_one_line(found):
    assert "\n" not in repr(found)
    assert repr(found).startswith("Reconciliation(Sequential: ours ")
    assert "fvcore" in repr(found)
    assert repr(found.peers[0]).startswith("PeerCount(fvcore")


def test_unknown_names_are_answered_with_the_known_ones(found):
    with pytest.raises(UnknownNameError, match="flop_counter"):
        found.peer("flopcounter")
    with pytest.raises(UnknownNameError, match="'0'"):
        found.peer("fvcore").layer("00")


def test_the_difference_is_ours_minus_theirs(found):
    layer = found.peer("fvcore").layer("1")
    assert (layer.ours, layer.theirs, layer.difference) == (0, 2 * 6 * 16, -2 * 6 * 16)
