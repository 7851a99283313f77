"""What we read beside `FlopCounterMode` is what it says by itself, row by row; and nobody else is touched."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from effwidgets.profiling.calls import as_call, run
from effwidgets.reconcile.flop_counter_side import flop_counter
from effwidgets.reconcile.ledger import Work
from effwidgets.testing.zoo import MODELS, specimen

TREE = ["inverted_residual", "shared_conv", "transformer_encoder", "multihead_attention", "vit", "lstm", "gpt"]


def by_itself(model, call, *, backward):
    """As its users call it: global hooks and all."""
    model.eval()
    counter = FlopCounterMode(display=False)
    with torch.set_grad_enabled(backward), counter:
        out = run(model, call)
        if backward:
            out.sum().backward()
    return {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", TREE)
def test_every_row_is_what_it_prints_by_itself(name, backward):
    model = specimen(name)
    side = flop_counter(model.build(), model.inputs(), train=False, backward=backward, meta=False)
    alone = by_itself(model.build(), model.inputs(), backward=backward)
    assert side.flops == alone.get("Global", 0)
    assert {side.names[path]: 2 * macs for path, macs in side.whole.items() if macs} == {
        # its row for the model itself may differ from its total, which we take
        name: flops
        for name, flops in alone.items()
        if flops and (name == "Global" or "." in name)
    }


def test_the_lines_of_the_ledger_add_up_to_what_it_says():
    for model in MODELS[:8]:
        side = flop_counter(model.build(), model.inputs(), train=False, backward=True, meta=True)
        assert 2 * sum(work.theirs for work in side.works) == side.flops


def test_a_container_that_is_never_called_has_no_row_and_a_shared_module_the_last_name():
    shared = nn.Linear(8, 8)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.list = nn.Sequential(shared), nn.ModuleList([shared, nn.Linear(8, 8)])

        def forward(self, x):
            for layer in self.list:
                x = layer(x)
            return self.first(x)

    side = flop_counter(Both(), as_call(torch.zeros(4, 8)), train=False, backward=False, meta=False)
    assert "list" not in side.whole
    assert "list" in side.idle
    assert side.names["first.0"] == "Both.list.0"
    assert side.whole["first.0"] == 2 * 4 * 64


def test_its_fault_with_groups_is_worked_out_from_the_shapes_of_the_call():
    model = nn.Conv2d(8, 12, 3, groups=4)
    side = flop_counter(model, as_call(torch.zeros(2, 8, 5, 5)), train=False, backward=True, meta=False)
    forward = 2 * 9 * 12 * 2 * 9
    (line,) = [work for work in side.works if work.backward]
    assert line == Work(
        layer="",
        op="convolution_backward",
        macs=forward,  # the input asks for nothing: the gradient of the weights alone
        theirs=4 * forward,
        backward=True,
        excess=3 * forward,
        fault="grouped_backward",
        credited=line.credited,
    )


def test_modules_of_another_thread_are_neither_hooked_nor_counted():
    begun, seen = threading.Event(), []

    class Waits(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            seen.append(dict(nn.modules.module._global_forward_hooks))
            begun.set()
            other.join(10)
            return self.fc(x)

    beside = nn.Linear(8, 8)

    def train():
        begun.wait(10)
        beside(torch.zeros(2, 8)).sum().backward()

    other = threading.Thread(target=train)
    other.start()
    side = flop_counter(Waits(), as_call(torch.zeros(4, 8)), train=False, backward=False, meta=False)
    assert seen == [{}]
    assert side.flops == 2 * 4 * 64
    assert beside.weight.grad is not None


def test_a_forward_that_raises_leaves_nothing_behind():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            raise ValueError(str(self.fc(x).shape))

    model = Breaks()
    with pytest.raises(ValueError, match="8"):
        flop_counter(model, as_call(torch.zeros(4, 8)), train=False, backward=True, meta=False)
    assert model._compiled_call_impl is None
    assert model.fc._compiled_call_impl is None
    with FlopCounterMode(display=False) as counter:
        model.fc(torch.zeros(1, 8))
    assert counter.get_total_flops() == 2 * 64
