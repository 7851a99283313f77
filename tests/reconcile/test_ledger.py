"""The ledger's lines are the profile's sums, one by one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from effwidgets.profiling import ProfileOptions, as_call, profile
from effwidgets.reconcile.ledger import ledger_of, stacked
from effwidgets.testing.zoo import MODELS, specimen


@pytest.mark.parametrize("name", [model.name for model in MODELS])
def test_the_lines_of_each_layer_add_up_to_its_profile(name):
    model = specimen(name)
    built, call = model.build(), model.inputs()
    sums = {False: Counter(), True: Counter()}
    for work in ledger_of(built, call, train=False, backward=True):
        sums[work.backward][work.layer] += work.macs or 0
    for layer in profile(built, call, options=ProfileOptions(groups=False)).layers:
        assert sums[False][layer.name] == layer.self_cost.macs
        assert sums[True][layer.name] == layer.self_cost.backward_macs


def test_only_what_no_output_depends_on_is_dead():
    class Tangled(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.dead, self.deader = nn.Linear(4, 4), nn.Linear(4, 5), nn.Linear(5, 6)
            self.written = nn.Linear(4, 7)

        def forward(self, x):
            self.deader(self.dead(x))
            held = torch.zeros(2, 7)
            held.add_(self.written(x))  # reaches the output by being written into what does
            return {"out": self.used(x), "held": held.view(7, 2)}

    works = ledger_of(Tangled(), as_call(torch.zeros(2, 4)), train=False, backward=False)
    alive = {work.layer: work.alive for work in works if work.macs}
    assert alive == {"used": True, "dead": False, "deader": False, "written": True}


def test_calls_are_told_without_hooks_and_in_their_order_also_when_one_raises():
    told = []
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU()))

    def entered(path, module, args, out):
        told.append(f"+{path}")
        assert not module._forward_hooks
        assert out is None

    def left(path, module, args, out):
        told.append(f"-{path}")

    with stacked(model, entered, left):
        model(torch.zeros(1, 4))
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 3))
    assert told == ["+", "+0", "-0", "+1", "+1.0", "-1.0", "-1", "-", "+", "+0", "-0", "-"]
    told.clear()
    model(torch.zeros(1, 4))
    assert told == []
