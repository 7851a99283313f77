"""Forwards that reach beyond what a copy of the module tree holds: closures, outer layers, caches, Ctrl-C."""

import _thread
import random
import subprocess
import sys
import threading
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from effwidgets.profiling import ProfileOptions, profile
from effwidgets.testing.untouched import state_of

X = torch.arange(32.0).reshape(4, 8)


class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.steps = lambda x: self.norm(self.linear(x))

    def forward(self, x):
        return self.steps(x)


class Asking(Closure):
    def forward(self, x):
        return self.steps(x) if bool(x.sum() > -1) else x


def _patched():
    model = nn.Sequential(nn.Linear(8, 8))
    before = model[0].forward
    model[0].forward = lambda x: before(x)  # noqa: PLW0108  what people write
    return model


def _partial():
    model = nn.Sequential(nn.Linear(8, 8))
    before = model[0].forward
    model[0].forward = partial(lambda _module, x: before(x), model[0])
    return model


@pytest.mark.parametrize("build", [Closure, Asking, _patched, _partial])
@pytest.mark.parametrize("options", [{}, {"train": True}, {"latency": True}])
def test_a_model_that_its_forward_reaches_through_a_closure_is_untouched(build, options):
    model = build()
    model(X).sum().backward()
    before = state_of(model)
    seen = profile(model, X, options=ProfileOptions(**options))
    assert before.differences(state_of(model)) == []
    assert type(next(model.parameters()).grad) is torch.Tensor
    assert seen.cost.macs == 4 * 64


def test_work_in_a_closure_is_that_of_its_layers():
    seen = profile(Closure(), X)
    assert seen.layer("linear").self_cost.macs == 4 * 64
    assert seen.layer("linear").self_cost.backward_macs == 4 * 64  # nobody asks for the input's gradient


OUTER = nn.Linear(8, 8)


def test_layers_from_outside_get_no_gradients_and_a_note_says_that_they_took_part():
    class Borrows(nn.Module):
        def __init__(self):
            super().__init__()
            self.own = nn.Linear(8, 8)

        def forward(self, x):
            return OUTER(self.own(x))

    seen = profile(Borrows(), X)
    assert OUTER.weight.grad is None
    assert seen.cost.macs == 2 * 4 * 64
    assert seen.cost.params == 72
    assert "not the model's own" in seen.notes[0]


class Cache:
    def __init__(self):
        self.rows = torch.zeros(2, 8)

    def append(self, x):
        self.rows = torch.cat([self.rows, x])
        return self.rows


@pytest.mark.parametrize("asks", [False, True])
def test_a_cache_among_the_inputs_is_used_as_a_copy(asks):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x, cache):
            if asks:
                float(x.sum())
            return self.linear(cache.append(x))

    cache = Cache()
    first = profile(Decoder(), (X, cache))
    assert type(cache.rows) is torch.Tensor
    assert cache.rows.shape == (2, 8)
    assert first.cost.macs == 6 * 64
    assert profile(Decoder(), (X, cache)) == first


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_runs_again_belongs_to_its_layers(reentrant):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Linear(8, 8)
            self.s = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def forward(self, x):
            return checkpoint(self.s, self.e(x), use_reentrant=reentrant)

    seen = profile(Model(), torch.zeros(2, 8))
    # The forward again (2 x 64) and both gradients; without reentrancy the last product is not needed again.
    last = 384 if reentrant else 256
    assert [seen.layer(f"s.{place}").self_cost.backward_macs for place in (0, 2, 4)] == [384, 384, last]
    assert seen.layer("").self_cost.backward_macs == 0


def test_a_question_whose_failure_the_forward_swallows_is_asked_of_real_numbers():
    class Swallows(nn.Module):
        def __init__(self):
            super().__init__()
            self.large, self.small = nn.Linear(8, 100), nn.Linear(8, 1)

        def forward(self, x):
            try:
                large = bool(x.sum() > 0)
            except Exception:  # noqa: BLE001  what is tested
                large = False
            return self.large(x) if large else self.small(x)

    seen = profile(Swallows(), X)
    assert seen.cost.macs == 4 * 800
    assert "real numbers" in seen.notes[0]
    empty = profile(Swallows().to("meta"), X.to("meta"))
    assert "went on without them" in empty.notes[0]


def test_outputs_in_an_object_of_its_own_leave_the_backward_out_and_say_so():
    class Opaque(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return type("Out", (), {"y": self.linear(x)})()

    seen = profile(Opaque(), X)
    assert seen.memory.training_peak_bytes is None
    assert "no backward was run" in seen.notes[0]


def test_a_trainer_beside_draws_the_same_numbers_of_python_and_numpy():
    numpy = pytest.importorskip("numpy")

    def draws(work):
        random.seed(1)
        numpy.random.seed(1)
        found, go = [], threading.Event()

        def train():
            while not go.is_set() or len(found) < 600:
                found.append((random.random(), numpy.random.rand()))  # noqa: S311
                if len(found) >= 600:
                    break

        beside = threading.Thread(target=train)
        beside.start()
        work()
        go.set()
        beside.join()
        return found[:600]

    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(20)))
    assert draws(lambda: [profile(model, X) for _ in range(5)]) == draws(lambda: None)


INTERRUPTS = """
import _thread, random, threading, time, torch
from torch import nn
from effwidgets.profiling import profile
from effwidgets.testing.untouched import state_of
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), *[nn.LazyLinear(16) for _ in range(20)])
x = torch.zeros(2, 3, 8, 8)
model(x)
profile(model, x)
start = time.perf_counter(); profile(model, x); taken = time.perf_counter() - start
before, caught, dice = state_of(model), 0, random.Random(2)
for _ in range(40):
    timer = threading.Timer(dice.random() * taken, _thread.interrupt_main)
    try:
        timer.start(); profile(model, x); timer.join(); time.sleep(0.001)
    except KeyboardInterrupt:
        caught += 1
    try:
        timer.join(); time.sleep(0.001)
    except KeyboardInterrupt:
        pass
    assert not before.differences(state_of(model))
    assert torch._C._len_torch_dispatch_stack() == torch._C._len_torch_function_stack() == 0
print("caught", caught)
"""


def test_an_interrupt_at_any_moment_ends_the_profile_and_not_the_process():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTS], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    # Most fall into a profile; how many depends on how busy the machine is.
    assert int(ended.stdout.split()[-1]) >= 5


def test_an_interrupt_outside_of_a_profile_is_what_it_was():
    profile(nn.Linear(8, 8), X)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  it comes some instructions later
        _thread.interrupt_main()
        for _ in range(1000):
            pass


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_that_is_trained_is_counted_though_a_processor_has_no_backward_of_it():
    from torch.nn.attention.flex_attention import flex_attention

    class Flex(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            q = self.linear(x)[None, None]
            return flex_attention(q, q, q)

    seen = profile(Flex(), torch.zeros(16, 8))
    assert seen.cost.macs == 16 * 64 + 2 * 16 * 16 * 8
    assert seen.uncounted == ()
    assert "With gradients" in seen.notes[0]


@pytest.mark.parametrize("training", [False, True])
def test_a_compiled_function_inside_a_forward_is_counted_as_it_is_written(training):
    product = torch.compile(lambda x, w: torch.relu(x @ w), backend="eager")

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 8))
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return product(self.linear(x), self.weight)

    seen = profile(Calls(), X, options=ProfileOptions(train=training, groups=not training))
    assert (seen.cost.macs, seen.cost.backward_macs, seen.notes) == (2 * 4 * 64, 3 * 4 * 64, ())
