"""One run with gradients says what a run without them says, whatever the model does with gradients."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint

from effwidgets.errors import Cancelled
from effwidgets.profiling import ProfileOptions, profile
from effwidgets.profiling.calls import as_call, run
from effwidgets.profiling.memory import Ledger
from effwidgets.profiling.passes import CountingPass
from effwidgets.profiling.recorder import Recorder
from effwidgets.profiling.shadow import make_shadow
from effwidgets.profiling.values import Values
from effwidgets.testing.zoo import MODELS
from tests.profiling.test_answers import transformers_models
from tests.profiling.test_macs import FORWARD

PARTS = ("macs", "elementwise_ops", "moved_bytes", "output_bytes")
MODES = pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])


def without_gradients(model, inputs, *, train):
    """Count a forward under no_grad on a shadow of its own: the peak, and the work by layer."""
    shadow, call = make_shadow(model), as_call(inputs)
    given = shadow.fake(call)
    shadow.model.train(train)
    recorder = Recorder(shadow.model)
    ledger = Ledger([*shadow.model.parameters(), *shadow.model.buffers(), *given.args, *given.kwargs.values()])
    passing = CountingPass(recorder, ledger, Values(shadow.mode))
    with shadow.mode, torch.no_grad(), recorder.watching(ledger), passing:
        run(shadow.model, given)
    work = {name: tuple(getattr(tally, part) for part in PARTS) for name, tally in recorder.tallies.items()}
    return ledger.live_peak_bytes, ledger.live_peak_at, work


def check(model, inputs, *, train):
    found = profile(model, inputs, options=ProfileOptions(groups=False, train=train))
    peak, at, work = without_gradients(model, inputs, train=train)
    assert (found.memory.inference_peak_bytes, found.memory.inference_peak_at) == (peak, at)
    assert {layer.name: tuple(getattr(layer.self_cost, part) for part in PARTS) for layer in found.layers} == work
    return found


@pytest.fixture(autouse=True)
def tensors_only(monkeypatch):
    """Let a ledger take calls that hold more than tensors."""
    before = Ledger.__init__
    monkeypatch.setattr(
        Ledger, "__init__", lambda self, outside=(): before(self, [t for t in outside if isinstance(t, torch.Tensor)])
    )


@MODES
@pytest.mark.parametrize("found", [found for found in MODELS if found.name != "branch"], ids=lambda found: found.name)
def test_every_model_of_the_zoo(found, train):
    check(found.build(), found.inputs(), train=train)


@MODES
@pytest.mark.parametrize("name", [name for name in FORWARD if "Multihead" in name or "gru" in name or "rnn" in name])
def test_recurrent_layers_and_attention(name, train):
    check(*FORWARD[name][:2], train=train)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns once of slow kernels: another way, the first time
@pytest.mark.slow
@MODES
@pytest.mark.parametrize("name", FORWARD)
def test_every_form_of_product(name, train):
    check(*FORWARD[name][:2], train=train)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("found", list(transformers_models()), ids=lambda found: found[0])
def test_models_of_transformers(found, train):
    check(found[1](), found[2], train=train)


class KeepsOnItself(Function):
    """Keeps a tensor as an attribute, where no hook sees it."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = x.exp()
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.kept


class KeepsAsToldTo(Function):
    """Keeps a tensor by `save_for_backward`."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.exp())
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        (kept,) = ctx.saved_tensors
        return gradient * kept


class Trick(nn.Module):
    """Two layers and a function of them and the input."""

    def __init__(self, function):
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def chain(x, times=4):
    """Let go of everything but the last."""
    for _ in range(times):
        x = x.exp()
    return x


def saved_elsewhere(m, x):
    with save_on_cpu():
        x = chain(m.first(x))
    return m.second(x)


def inside_blocks(m, x):
    with torch.no_grad():
        scale = chain(m.first(x)).mean()
    return chain(m.second(x) * scale).detach().exp() + chain(m.first(x))


def grows(m, x):
    kept = []
    for _ in range(4):
        x = m.first(x).relu()
        kept.append(x)
    return kept


def written_after(m, x):
    y = m.first(x)
    y = m.second(y.relu_()).sigmoid()
    y.mul_(2)
    return chain(y)


def spoilt(m, x):
    y = m.first(x).exp()
    z = y.sin()
    y.mul_(2)  # the backward of the sine cannot run any more; under hooks torch does not look, so we cannot say so
    return m.second(z)


def parts_written_into(m, x):
    y = m.first(x)
    y[:, :4] = 0
    y[:, 4:8].mul_(m.second(x)[:, :4])
    y[0] += 1
    return chain(y)


def learnt_mask(m, x):
    heads = m.first(x).view(1, 2, 32, 16)
    return F.scaled_dot_product_attention(heads, heads, heads, attn_mask=m.second.weight[0, 0] * torch.ones(32, 32))


def folded(m, x):
    return m.first(x).view(4, 16, 16).transpose(1, 2) @ m.second(x)[:16]


def met_by_a_vector(m, x):
    return m.first(x).view(4, 16, 16).transpose(1, 2) @ m.second(x)[0]


def conjugated(m, x):
    one, other = (torch.view_as_complex(layer(x).view(64, 8, 2)) for layer in (m.first, m.second))
    return (one.conj() @ other.mT).imag.exp()


def watched(m, x):
    y = m.first(x)
    if y.requires_grad:
        y.retain_grad()
        y.register_hook(lambda gradient: gradient * 2)
    return m.second(chain(y))


def again(reentrant):
    def forward(m, x):
        part = checkpoint(lambda x: chain(m.second(chain(m.first(x)))), chain(m.first(x)), use_reentrant=reentrant)
        return chain(part)

    return forward


TRICKS = {
    "save_on_cpu": saved_elsewhere,
    "no_grad and detach inside": inside_blocks,
    "a list of outputs": grows,
    "in place after it was saved": written_after,
    "in place, so that no backward runs": spoilt,
    "in place into views": parts_written_into,
    "attention with a learnt mask": learnt_mask,
    "a batch folded for a matrix that asks for a gradient": folded,
    "and for a vector": met_by_a_vector,
    "complex numbers": conjugated,
    "retain_grad and a hook": watched,
    "checkpoint": again(reentrant=False),
    "checkpoint, reentrant": again(reentrant=True),
    "a function that keeps on itself": lambda m, x: m.second(chain(KeepsOnItself.apply(m.first(x)))),
    "a function that keeps as told to": lambda m, x: m.second(chain(KeepsAsToldTo.apply(m.first(x)))),
    "views of parameters": lambda m, x: chain(F.linear(F.linear(x, m.first.weight[:8]), m.second.weight[:, :8])),
    "dropout": lambda m, x: chain(F.dropout(m.first(x), 0.5, training=True)),
    "dropout, in place": lambda m, x: chain(F.dropout(m.first(x), 0.5, training=True, inplace=True)),
    "a norm in training": lambda m, x: chain(F.batch_norm(m.first(x), None, None, training=True)),
    "max_pool1d": lambda m, x: F.max_pool1d(m.first(x)[None], 2),
    "svdvals": lambda m, x: torch.linalg.svdvals(m.first(x)),
    "eigvalsh": lambda m, _: torch.linalg.eigvalsh(m.first.weight),
    "pinv": lambda m, x: torch.linalg.pinv(m.first(x)),
    "where, gather, index": lambda m, x: torch.where(x > 0, m.first(x), 0.0)[torch.arange(5)].gather(1, x[:5].long()),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("name", TRICKS)
def test_what_a_forward_does_with_gradients_does_not_change_its_inference(name):
    check(Trick(TRICKS[name]), torch.ones(64, 16), train=False)


def test_only_a_run_with_traces_of_gradients_is_made_again(monkeypatch):
    runs = []
    monkeypatch.setattr(Trick, "forward", lambda m, x: runs.append(1) or m.function(m, x))
    for name, times in (("dropout", 1), ("no_grad and detach inside", 1), ("save_on_cpu", 2), ("checkpoint", 2)):
        runs.clear()
        profile(Trick(TRICKS[name]), torch.ones(64, 16), options=ProfileOptions(groups=False, backward=False))
        assert len(runs) == times, name


def test_where_nothing_runs_without_gradients_the_run_with_them_counts():
    class NeedsThem(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            with save_on_cpu():
                y = self.layer(x)
            (slope,) = torch.autograd.grad(y.sum(), self.layer.weight, create_graph=True)
            return y @ slope

    found = profile(NeedsThem(), torch.ones(3, 4), options=ProfileOptions(groups=False))
    assert found.layer("layer").cost.macs == 3 * 4 * 4
    assert found.layer("layer").calls == 1


def python_calls(layers):
    """Python functions entered in one profile, for each operation that came by."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    x, options = torch.zeros(2, 7, 16), ProfileOptions()
    profile(model, x, options=options)  # what is loaded and remembered once
    counted = {"calls": 0, "operations": 0}
    operation = CountingPass.__mro__[1].__torch_dispatch__.__code__

    def count(frame, event, _argument):
        if event == "call":
            counted["calls"] += 1
            counted["operations"] += frame.f_code is operation

    sys.setprofile(count)
    try:
        profile(model, x, options=options)
    finally:
        sys.setprofile(None)
    assert counted["operations"] > 20 * layers
    return counted["calls"] / counted["operations"]


def test_a_deeper_model_takes_as_many_python_calls_for_each_operation():
    # What is done once for a model is shared by more operations in a deeper one: less than 2 % from 12 layers on.
    assert python_calls(24) == pytest.approx(python_calls(12), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [48, 192])
def test_so_does_a_much_deeper_one(layers):
    assert python_calls(layers) == pytest.approx(python_calls(12), rel=0.02)


@pytest.mark.parametrize("where", ["forward", "backward", "without"])
@pytest.mark.parametrize("real", [False, True])
def test_a_cancelled_run_is_cancelled_wherever_it_stands(where, real):
    class Stops(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise Cancelled("stop")

    class Model(nn.Module):
        def forward(self, x):
            if real:
                int(x.sum())
            if where == "backward":
                return Stops.apply(x)
            if where == "forward" or (where == "without" and not torch.is_grad_enabled()):
                raise Cancelled("stop")
            return nn.functional.gru_cell(x, x, torch.zeros(12, 4), torch.zeros(12, 4)) if where == "without" else x

    with pytest.raises(Cancelled):
        profile(Model(), torch.zeros(2, 4, requires_grad=True))
