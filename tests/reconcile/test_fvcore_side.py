"""What we read beside fvcore is what it says by itself, module by module; with the shapes behind it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections import Counter

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled
from effwidgets.profiling.calls import Call, as_call
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import specimen
from tests.profiling.test_macs import Function, t

with warnings.catch_warnings():  # fvcore uses torch.jit.script while it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import FlopCountAnalysis

    from effwidgets.reconcile.fvcore_side import fvcore
    from effwidgets.reconcile.side import PeerError


@pytest.mark.parametrize("name", ["residual", "u_net", "shared_conv", "vit", "transformer_encoder", "lstm", "signal"])
def test_every_module_is_what_it_says_by_itself(name):
    model = specimen(name)
    side = fvcore(model.build(), model.inputs(), train=False)
    analysis = FlopCountAnalysis(model.build().eval(), model.inputs().args)
    analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    with torch.no_grad():
        assert side.whole == dict(analysis.by_module())
    assert side.flops == analysis.total()
    assert sum((counts for counts in side.missing.values()), Counter()) == analysis.unsupported_ops()
    assert side.idle == analysis.uncalled_modules()
    assert sum(side.own.values()) == sum(work.theirs for work in side.works) == side.flops


def test_a_wrapper_is_left_out_of_the_names():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Sequential(nn.Linear(8, 4))

        def forward(self, *, x, scale=1.0):
            return {"out": self.model(x) * scale, "note": "text"}

    side = fvcore(Named(), Call((), {"x": t(2, 8), "scale": 2.0}), train=False)
    assert side.whole == {"": 64, "model": 64, "model.0": 64}
    assert [work.layer for work in side.works] == ["model.0"]
    assert "positional tensors only" in side.notes[0]


def test_a_model_whose_outputs_it_cannot_trace_is_wrapped_and_its_hooks_are_taken_away():
    class Tells(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 4)

        def forward(self, x):
            return {"out": self.fc(x), "count": 3}

    side = fvcore(Tells(), as_call(t(2, 8)), train=False)
    assert side.whole == {"": 64, "fc": 64}
    assert len(side.works) == 1


def test_a_formula_of_theirs_that_fails_is_named_with_its_shapes():
    model = Function(torch.matmul)
    before = state_of(model)
    with pytest.raises(PeerError, match="its formula for matmul cannot take 4 × 8 and 8"):
        fvcore(model, as_call((t(4, 8), t(8))), train=False)
    assert before.differences(state_of(model)) == []


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("bij,bkj->bik", ((3, 4, 8), (3, 5, 8)), 3 * 4 * 5 * 8),
        ("ij,kj->i", ((4, 8), (5, 8)), 4 * 8),  # k stands on one side only and is summed before
        ("ij,ij->ij", ((4, 8), (4, 8)), 0),
        ("ij,jk->ik", ((4, 1), (7, 5)), 4 * 5),  # broadcast: seven rows are summed before
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5)), None),
    ],
)
def test_the_truth_of_an_einsum_is_worked_out_from_its_letters(equation, shapes, macs):
    model = Function(lambda *tensors: torch.einsum(equation, *tensors))
    try:
        side = fvcore(model, as_call(tuple(t(*shape) for shape in shapes)), train=False)
    except (RuntimeError, PeerError):  # numpy refuses sizes of one where torch does not
        assert 1 in shapes[0]
        return
    assert [work.macs for work in side.works] == [macs]


def test_a_model_on_meta_is_not_written_into_and_runs_on_zeros_where_meta_cannot_be_traced():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to("meta").train()
    before = {name: tensor._version for name, tensor in model.named_buffers()}
    side = fvcore(model, as_call(torch.empty(1, 3, 6, 6, device="meta")), train=True)
    assert side.whole == {"": 4 * 3 * 9 * 16 + 5 * 4 * 16, "0": 4 * 3 * 9 * 16, "1": 5 * 4 * 16}
    assert {name: tensor._version for name, tensor in model.named_buffers()} == before
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert "on zeros" in side.notes[0]


def test_it_can_be_imported_by_itself_where_warnings_are_errors():
    command = [sys.executable, "-W", "error", "-c", "import effwidgets.reconcile.fvcore_side"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cancelled_forward_on_meta_is_not_run_again_on_zeros():
    calls = []

    class Stops(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4, device="meta")

        def forward(self, x):
            calls.append(x)
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fvcore(Stops(), as_call(torch.zeros(1, 4, device="meta")), train=False)
    assert len(calls) == 1
