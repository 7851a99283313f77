"""What a profile leaves behind, however it ends: nothing. And what it says when it fails."""

import gc
import logging
import random
import threading
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from effwidgets.errors import ModelError
from effwidgets.profiling import ProfileOptions, profile
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, specimen

WAYS = pytest.mark.parametrize("options", [ProfileOptions(), ProfileOptions(train=True)], ids=["eval", "train"])


def surroundings():
    """Everything of the process and of this thread that a profile could leave otherwise."""
    hooks = [name for name in vars(torch_module) if name.startswith("_global_") and name.endswith("hooks")]
    assert len(hooks) >= 5
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  the state that a model may draw from
    loggers = [logging.getLogger(name) for name in ("", "torch", "torch._subclasses.fake_tensor")]
    return {
        "dispatch modes": len(_get_current_dispatch_mode_stack()),
        "function modes": len(_get_current_function_mode_stack()),
        "global hooks": {name: len(getattr(torch_module, name)) for name in hooks},
        "saved tensors": torch._C._autograd._saved_tensors_hooks_is_enabled(),
        "saving hooks": torch._C._autograd._top_saved_tensors_default_hooks(False),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "anomaly": torch.is_anomaly_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.get_deterministic_debug_mode()),
        "defaults": (torch.get_default_dtype(), torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "attention": torch.backends.mha.get_fastpath_enabled(),
        "patched": (torch.nn.Module.__call__, torch.matmul, torch.nn.functional.linear, torch.Tensor.__matmul__),
        "warnings": (list(warnings.filters), warnings.showwarning, warnings.formatwarning),
        "logging": [(list(logger.filters), logger.level, logger.disabled) for logger in loggers],
        "random": (torch.get_rng_state().tolist(), random.getstate(), kind, keys.tolist(), rest),
    }


def differences(before):
    after = surroundings()
    return [name for name in before if before[name] != after[name]]


class Before:
    """A model and everything around it before a profile; to be taken when all models are made, which draws numbers."""

    def __init__(self, model):
        self.state, self.around = state_of(model), surroundings()

    def left(self, model):
        """Say what is otherwise now."""
        return self.state.differences(state_of(model)) + differences(self.around)


@pytest.fixture(autouse=True, scope="module")
def _loaded():
    # sympy, which torch's fake tensors load, adds a filter of warnings as it is loaded.
    profile(nn.Linear(1, 1), torch.zeros(1, 1))


@pytest.fixture(autouse=True)
def _nothing_is_left(_loaded):
    before = surroundings()
    yield
    assert [name for name in differences(before) if name != "random"] == []


class Stumbles(nn.Module):
    """Raises in its n-th layer, in the forward or the backward; draws from every generator before."""

    def __init__(self, error=None, *, backward=False, layer=2):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.error, self.backward, self.layer = error, backward, layer

    def forward(self, x):
        x = self.drop(self.norm(x + torch.rand(()) + random.random() + float(np.random.rand())))  # noqa: NPY002, S311
        for number, layer in enumerate(self.layers):
            if number == self.layer and self.error is not None:
                x = Falls.apply(x, self.error) if self.backward else self.fall(layer, x)
            x = layer(x)
        return x

    def fall(self, layer, x):
        def hook(*_):
            raise self.error

        handle = layer.register_forward_pre_hook(hook)
        try:
            return layer(x)
        finally:
            handle.remove()


class Falls(torch.autograd.Function):
    """Raises in its backward."""

    @staticmethod
    def forward(ctx, x, error):
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx, _gradient):
        raise ctx.error


def prepared(model):
    """Give a model every kind of state that could be lost."""
    model.train()
    next(iter(model.children())).eval()
    model.register_forward_hook(lambda *_: None)
    model.register_full_backward_hook(lambda *_: None)
    for parameter in list(model.parameters())[::2]:
        parameter.grad = torch.ones_like(parameter)
    return model


@WAYS
@pytest.mark.parametrize("found", MODELS[::4], ids=lambda found: found.name)
def test_a_profile_that_succeeds_leaves_nothing(found, options):
    model = found.build().train()
    before = Before(model)
    profile(model, found.inputs(), options=options)
    assert before.left(model) == []


@WAYS
def test_a_model_that_draws_random_numbers_leaves_nothing(options):
    model = prepared(Stumbles())
    before = Before(model)
    profile(model, torch.zeros(3, 4), options=options)
    assert before.left(model) == []


@WAYS
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_a_forward_that_raises_leaves_nothing_and_its_message_names_the_layer(layer, options):
    model = prepared(Stumbles(ArithmeticError("no more"), layer=layer))
    before = Before(model)
    with pytest.raises(ModelError, match=rf"in layer 'layers\.{layer}': Linear.*ArithmeticError: no more"):
        profile(model, torch.zeros(3, 4), options=options)
    assert before.left(model) == []


@WAYS
@pytest.mark.parametrize("backward", [False, True], ids=["in the forward", "in the backward"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_comes_through_and_leaves_nothing(error, backward, options):
    model = prepared(Stumbles(error(), backward=backward))
    before = Before(model)
    with pytest.raises(error):
        profile(model, torch.zeros(3, 4, requires_grad=True), options=options)
    assert before.left(model) == []
    assert differences_after_another_profile() == []


def differences_after_another_profile():
    found = specimen("residual")
    model = found.build()
    before = Before(model)
    assert profile(model, found.inputs()).cost.macs == found.macs
    return before.left(model)


@WAYS
def test_a_backward_that_raises_is_said_and_leaves_nothing(options):
    model = prepared(Stumbles(ArithmeticError("no way back"), backward=True))
    before = Before(model)
    found = profile(model, torch.zeros(3, 4, requires_grad=True), options=options)
    assert found.memory.training_peak_bytes is None
    assert any("ArithmeticError: no way back" in note for note in found.notes)
    assert before.left(model) == []


@pytest.mark.parametrize("error", [ArithmeticError("mine"), KeyboardInterrupt()])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_of_the_models_own_that_raises(kind, error):
    model = specimen("residual").build()

    def hook(*_):
        raise error

    getattr(model.stem[0], kind)(hook)
    before = Before(model)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ModelError) as caught:
        profile(model, specimen("residual").inputs())
    if isinstance(error, ArithmeticError):
        assert "in layer 'stem.0'" in str(caught.value)
        assert "mine" in str(caught.value)
    assert before.left(model) == []


FUSED = {
    "linear": (nn.Linear(4, 4), (3, 5)),
    "conv": (nn.Conv2d(3, 4, 3), (1, 2, 8, 8)),
    "lstm": (nn.LSTM(4, 4), (2, 3, 5)),
    "gru": (nn.GRU(4, 4), (2, 3, 5)),
    "attention": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 6)),
    "norm": (nn.BatchNorm2d(3), (1, 2, 4, 4)),
    "group norm": (nn.GroupNorm(2, 4), (1, 6, 4, 4)),
    "bilinear": (nn.Bilinear(4, 4, 2), (3, 4)),
}


@pytest.mark.parametrize("name", FUSED)
def test_what_a_kernel_refuses_names_the_layer_also_when_operations_are_remembered(name):
    layer, shape = FUSED[name]
    model = nn.ModuleDict({"before": nn.Identity(), "deep": nn.Sequential(nn.ReLU(), layer)})
    model.forward = lambda x: model["deep"](model["before"](x))

    class Wraps(nn.Module):
        def __init__(self):
            super().__init__()
            self.deep = model["deep"]

        def forward(self, x):
            return self.deep(x)

    for _ in range(2):
        with pytest.raises(ModelError, match=r"in layer 'deep\.1"):
            profile(Wraps(), torch.zeros(*shape))


class Profiles(nn.Module):
    """Profiles in the middle of its forward."""

    def __init__(self, model=None, inputs=None):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        inputs = torch.zeros(2, 4) if inputs is None else inputs
        self.other, self.inputs = (lambda: model), (lambda: inputs)  # functions, so that they are no part of the model

    def forward(self, x):
        x = self.layer(x)
        if INSIDE is not None and not INSIDE:
            INSIDE.append(None)
            INSIDE[0] = profile(self.other() or self, self.inputs())
        return self.layer(x)


INSIDE = None


@pytest.mark.parametrize("name", ["perceptron", "gpt", "itself"])
def test_a_profile_inside_a_profile_is_as_one_outside(name, monkeypatch):
    inner = None if name == "itself" else specimen(name)
    model = Profiles(*(() if inner is None else (inner.build(), inner.inputs())))
    expected = profile(model, torch.zeros(2, 4))
    found = []
    monkeypatch.setitem(globals(), "INSIDE", found)
    before = Before(model)
    assert profile(model, torch.zeros(2, 4)) == expected
    assert found[0] == (expected if inner is None else profile(inner.build(), inner.inputs()))
    assert before.left(model) == []


def test_it_is_the_same_inside_modes_and_hooks_of_the_callers():
    found = specimen("vit")
    expected = profile(found.build(), found.inputs())
    saved = []
    with saved_tensors_hooks(saved.append, lambda kept: kept), torch.autocast("cpu", enabled=False):
        assert profile(found.build(), found.inputs()) == expected
    assert saved == []
    with torch.inference_mode():
        assert profile(found.build(), found.inputs()) == expected
    calls = []
    handle = torch_module.register_module_forward_hook(lambda module, *_: calls.append(module))
    try:
        assert profile(found.build(), found.inputs()) == expected
    finally:
        handle.remove()


@pytest.mark.parametrize("ends", ["well", "by an error", "by an interruption"])
def test_neither_model_nor_inputs_are_kept_alive(ends):
    error = {"well": None, "by an error": ArithmeticError("no"), "by an interruption": KeyboardInterrupt()}[ends]
    model, x = Stumbles(error), torch.zeros(3, 4)
    gone = [weakref.ref(model), weakref.ref(x), weakref.ref(model.layers[0].weight)]
    try:
        profile(model, x)
    except (ModelError, KeyboardInterrupt):
        assert error is not None
    del model, x, error
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_profiles_in_threads_leave_this_thread_alone_and_say_the_same():
    names = ("residual", "transformer_encoder", "lstm")
    models = {name: specimen(name).build().train() for name in names}
    expected = {name: profile(models[name], specimen(name).inputs()) for name in names}
    states = {name: state_of(models[name]) for name in names}
    seen = []

    def work(name):
        try:
            inner = surroundings()
            seen.extend((name, profile(models[name], specimen(name).inputs())) for _ in range(2))
            with pytest.raises(ModelError):
                profile(models[name], torch.zeros(1, 1))
            seen.append((name, [part for part in differences(inner) if part not in {"logging", "random"}]))
        except BaseException as error:  # noqa: BLE001
            seen.append((name, error))

    threads = [threading.Thread(target=work, args=(name,)) for name in names for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 18
    for name, found in seen:
        assert found in (expected[name], [])
    for name in names:
        assert states[name].differences(state_of(models[name])) == []


def losses_of_a_training(steps):
    """Train with dropout from torch's global generator, attention, norms and Adam; the losses to the last bit."""
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.2, batch_first=True)
    model = nn.Sequential(nn.Linear(8, 16), layer, nn.LSTM(16, 8)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(torch.randn(4, 5, 8))[0].square().mean()
        loss.backward()
        optimizer.step()
        found.append(loss.item().hex())
    return found


class Draws(nn.Module):
    """Reads the values of its activations, so that it runs with real numbers, and draws random ones."""

    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.layer(x)) + torch.rand(4)
        return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize("build", [specimen("vit").build, Draws], ids=["on a shadow", "with real numbers"])
def test_a_training_beside_profiles_loses_not_a_bit(build):
    threads, states = torch.get_num_threads(), torch.get_rng_state()
    inputs = torch.ones(3, 4) if build is Draws else specimen("vit").inputs()
    torch.set_num_threads(1)
    try:
        alone = losses_of_a_training(25)
        stop, done, faults = threading.Event(), [], []

        def work():
            model = build().train() if build is not Draws else DRAWS
            while not stop.is_set():
                try:
                    done.append(profile(model, inputs, options=ProfileOptions(train=True)).cost.macs)
                except Exception as error:  # noqa: BLE001
                    faults.append(error)
                    return

        thread = threading.Thread(target=work)
        thread.start()
        while not done and not faults:
            stop.wait(0.01)
        beside = losses_of_a_training(25)
        stop.set()
        thread.join()
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(states)
    assert faults == []
    assert len(done) >= 2
    assert beside == alone


DRAWS = Draws()  # made here: making layers draws from the generator of the whole process
