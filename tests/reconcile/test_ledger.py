"""The ledger's lines are the profile's sums, one by one."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled, ModelError
from effwidgets.profiling import ProfileOptions, as_call, profile
from effwidgets.reconcile import PEERS, reconcile
from effwidgets.reconcile.ledger import ledger_of
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


class Flex(nn.Module):
    """Frozen: on the CPU it has no backward."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 16).requires_grad_(False)

    def forward(self, x):
        from torch.nn.attention.flex_attention import flex_attention

        x = self.fc(x)
        return flex_attention(x, x, x)


def test_an_operation_that_takes_functions_is_written_down_as_a_profile_counts_it():
    model, call = Flex(), as_call(torch.zeros(1, 2, 128, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: it runs unfused without a compiler
        works = ledger_of(model, call, train=False, backward=False)
        found = reconcile(model, call, with_=PEERS)
    # Two products of 128 x 128 x 16 for each of two heads.
    assert {work.layer: work.macs for work in works if work.macs} == {"fc": 2 * 128 * 256, "": 2 * 2 * 128 * 128 * 16}
    assert found.ours == 2 * 128 * 256 + 4 * 128 * 128 * 16
    # What the peers make of it is theirs; that no mode of ours is in their way is not.
    assert not any("effwidgets" in (peer.failure or "") for peer in found.peers)


def test_a_wrong_call_is_told_as_of_the_models_layer_and_not_run_on_a_model_without_numbers():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 5))
    for device in ("cpu", "meta"):
        call = as_call(torch.zeros(2, 4, device=device))
        with pytest.raises(ModelError, match="in layer '1'"):
            ledger_of(model.to(device), call, train=False, backward=False)


def test_a_cancelled_forward_is_not_run_again_on_real_numbers():
    calls = []

    class Stops(nn.Module):
        def forward(self, x):
            calls.append(x)
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        ledger_of(Stops(), as_call(torch.zeros(2)), train=False, backward=False)
    assert len(calls) == 1


def test_a_cancelled_backward_is_cancelled_and_one_that_does_not_exist_is_left_out():
    def scale(error):
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return 2 * x

            @staticmethod
            def backward(ctx, grad):
                raise error

        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 3)

            def forward(self, x):
                return Scale.apply(self.fc(x))

        return Scaled()

    call = as_call(torch.zeros(2, 4))
    with pytest.raises(Cancelled):
        ledger_of(scale(Cancelled("stop")), call, train=False, backward=True)
    works = ledger_of(scale(NotImplementedError("none")), call, train=False, backward=True)
    assert [(work.layer, work.macs) for work in works if work.macs] == [("fc", 2 * 4 * 3)]
