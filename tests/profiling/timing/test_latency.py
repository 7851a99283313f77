from __future__ import annotations

import random
import threading
import time
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from effwidgets.errors import ModelError
from effwidgets.profiling import ProfileOptions, as_call, copies, profile
from effwidgets.profiling.timing import latency as subject
from effwidgets.profiling.timing.alone import working
from effwidgets.profiling.timing.latency import measure_latency
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import specimen


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    # What is tested here are rules, not numbers: a tenth of the time does.
    monkeypatch.setattr(subject, "_ENOUGH_S", 0.05)


def timed(model, inputs, **options):
    return profile(model, inputs, options=ProfileOptions(latency=True, groups=False, backward=False, **options))


def own_s(found):
    return {layer.name: layer.self_latency.median_s for layer in found.layers if layer.self_latency is not None}


class Sleep(nn.Module):
    """Takes a known time, and is known by it: work as such depends on the machine."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x + 1


class Parent(nn.Module):
    def __init__(self):
        super().__init__()
        self.short, self.long, self.idle = Sleep(0.004), Sleep(0.012), Sleep(1)

    def forward(self, x):
        x = self.long(self.short(self.short(x)))
        time.sleep(0.008)
        return {"out": x}


def test_each_layer_takes_its_own_time_and_a_parent_the_time_beside_its_children():
    found = timed(Parent(), torch.zeros(2, 3))
    seconds = own_s(found)
    # Sleeps of 2 x 4, 12 and 8 ms. A machine under load wakes late, all alike: half as much again is allowed.
    for name, expected in (("short", 0.008), ("long", 0.012), ("", 0.008)):
        assert 0.66 * expected < seconds[name] < 1.5 * expected, (name, seconds)
    assert found.layer("idle").latency is None  # never called
    assert found.notes == ()


def test_the_layers_add_up_to_the_measured_whole_and_the_residual_is_what_they_had_to_be_scaled_by():
    found = timed(specimen("residual").build(), specimen("residual").inputs())
    whole = found.latency
    own = [layer.self_latency for layer in found.layers if layer.self_latency is not None]
    assert sum(one.median_s for one in own) == pytest.approx(whole.median_s)
    assert found.layer("").latency == whole
    assert -whole.median_s < whole.residual_s < whole.median_s
    assert all(one.residual_s is None for one in own)
    assert {(one.device, one.threads, one.batch) for one in own} == {(whole.device, whole.threads, whole.batch)}
    assert all(one.repeats >= 10 for one in own)  # five rounds of two
    for layer in found.layers[1:]:
        inside = [one for one in found.layers if one.name == layer.name or one.name.startswith(f"{layer.name}.")]
        parts = [one.self_latency for one in inside if one.self_latency is not None]
        assert layer.latency.median_s == pytest.approx(sum(part.median_s for part in parts))
        assert layer.latency.iqr_s == pytest.approx(sum(part.iqr_s**2 for part in parts) ** 0.5)


def test_the_residual_is_the_time_that_is_in_no_layer(monkeypatch):
    # The whole is made to last 20 ms longer than its parts: a residual can be told from noise then.
    real = subject.Bench.whole
    monkeypatch.setattr(subject.Bench, "whole", lambda bench: real(bench) + 0.020)
    found = timed(nn.Sequential(Sleep(0.004), Sleep(0.004)), torch.zeros(1))
    assert 0.015 < found.latency.residual_s < 0.030
    assert "the layers timed alone take" in found.latency.warning
    assert found.layer("0").latency.median_s == pytest.approx(found.latency.median_s / 2, rel=0.3)


def test_a_layer_that_runs_several_times_counts_the_sum_of_its_calls_with_their_own_sizes():
    class Grows(nn.Module):
        def forward(self, x):
            time.sleep(0.002 * len(x))
            return torch.cat([x, x])

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.grow = self.again = Grows()
            self.other = Sleep(0.006)

        def forward(self, x):
            return self.other(self.again(self.grow(x)))

    found = timed(Twice(), torch.zeros(1, 2))
    seconds = own_s(found)
    assert seconds["grow"] == pytest.approx(seconds["other"], rel=0.4)  # 2 + 4 ms beside 6 ms
    assert found.layer("grow").calls == 2
    assert found.layer("again").latency == found.layer("grow").latency


class Changes(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x, *, scale=None, **rest):
        self.seen += 1
        x.sub_(torch.rand(()) + random.random())  # noqa: S311
        scale["factor"].mul_(2)
        return {"y": self.norm(self.relu(x)) * scale["factor"], **rest}


@pytest.mark.parametrize("train", [False, True])
def test_model_inputs_and_random_states_are_as_before_though_everything_is_written_into(train):
    model, x, scale = Changes(), torch.rand(4, 3), {"factor": torch.ones(())}
    kept, before = x.clone(), state_of(model)
    inputs = as_call({"x": x, "scale": scale})
    found = timed(model, inputs, train=train)
    assert torch.equal(x, kept)
    assert scale["factor"] == 1
    assert before.differences(state_of(model)) == []
    assert set(own_s(found)) == {"", "relu", "norm"}
    assert not [module for module in model.modules() if "forward" in vars(module)]


def test_each_repeat_begins_with_the_values_that_the_layer_is_called_with():
    sums = []

    class Negate(nn.Module):
        def forward(self, x):
            sums.append(x.sum().item())
            return x.neg_()

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.negate = Negate()

        def forward(self, x):
            y = self.negate(x)
            sums.append(y.sum().item())
            return y.mul_(3)

    counted = profile(Around(), torch.ones(2, 3))
    sums.clear()
    subject.with_latency(counted, Around(), as_call(torch.ones(2, 3)))
    assert len(sums) > 30
    assert set(sums) == {6.0, -6.0}  # never 18: no repeat writes into what another one reads


def test_recurrent_layers_with_packed_sequences_and_caches_of_their_own_are_timed():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(4, 8, bidirectional=True)

        def forward(self, packed):
            out, (hidden, _) = self.rnn(packed)
            return out.data.sum() + hidden.sum()

    packed = pack_sequence([torch.rand(5, 4), torch.rand(3, 4)])
    found = timed(Reader(), (packed,))
    assert isinstance(packed, PackedSequence)
    assert set(own_s(found)) == {"", "rnn"}
    assert not [note for note in found.notes if "alone" in note]


def test_attention_takes_the_path_alone_that_it_takes_in_the_model():
    class Seen(nn.MultiheadAttention):
        kept: list = []  # noqa: RUF012

        def forward(self, query, key, value, **more):
            self.kept.append((query is key is value, torch.is_grad_enabled()))
            return super().forward(query, key, value, **more)

    class Self(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Seen(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    with torch.no_grad():
        found = subject.with_latency(profile(Self(), torch.rand(1, 4, 8)), Self(), as_call(torch.rand(1, 4, 8)))
    assert set(own_s(found)) == {"", "attention"}  # its projection is never called: it is a leaf
    assert set(Seen.kept[-20:]) == {(True, False)}


def test_the_fused_path_of_an_encoder_is_timed_as_one_layer_and_what_is_inside_is_named():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    found = timed(model, torch.rand(2, 5, 16))
    assert {"layers.0", "layers.1"} <= set(own_s(found))
    assert found.layer("layers.0.linear1").latency is None
    assert any("linear1" in note and "no time of their own" in note for note in found.notes)
    assert "layers.0.linear1" in own_s(timed(model, torch.rand(2, 5, 16), train=True))  # in training nothing is fused


def test_parametrizations_are_part_of_the_layer_whose_weight_they_make():
    found = timed(nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU()), torch.rand(2, 4))
    assert set(own_s(found)) == {"0", "1"}
    assert not [note for note in found.notes if "alone" in note]


def test_a_layer_that_fails_when_it_is_repeated_has_no_time_and_is_named_and_the_others_are_not_scaled_up():
    class Once(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = {}

        def forward(self, x, token):
            if token.popleft() != "fresh":
                raise ValueError("used up")
            time.sleep(0.010)
            return x

    class Ticket:  # one that cannot be copied
        def __init__(self):
            self.left = ["fresh"]

        def popleft(self):
            return self.left.pop()

        def __deepcopy__(self, memo):
            raise TypeError("tickets are not copied")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.once, self.sleep = Once(), Sleep(0.004)

        def forward(self, x):
            return self.sleep(self.once(x, Ticket()))

    found = timed(Model(), torch.zeros(1))
    assert found.layer("once").latency is found.layer("once").self_latency is None
    assert any(note.startswith("once could not be timed alone (TypeError: tickets") for note in found.notes)
    assert 0.006 < found.latency.residual_s < 0.020  # the 10 ms of the layer, give or take how late sleeps end
    assert 0.003 < own_s(found)["sleep"] < 0.008  # not the 14 ms of the whole


def test_a_parent_that_takes_another_way_when_it_is_repeated_is_named():
    class Fickle(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.turn = nn.ReLU(), nn.Tanh(), 0

        def forward(self, x):
            self.turn += 1
            return self.a(self.b(x)) if self.turn % 2 else self.b(self.a(x))

    found = timed(Fickle(), torch.rand(3))
    assert found.layer("").self_latency is None
    assert any("took another way" in note for note in found.notes)
    assert found.layer("").latency == found.latency


def test_answers_that_are_too_large_to_keep_cost_only_the_parents_own_time(monkeypatch):
    monkeypatch.setattr("effwidgets.profiling.timing.leaves._ROOM_BYTES", 100)
    found = timed(Parent(), torch.zeros(64, 3))
    assert set(own_s(found)) == {"short", "long"}
    assert any("too large to be kept" in note for note in found.notes)


def test_copies_of_a_deep_chain_are_never_alive_together(monkeypatch):
    real, made = copies.copy_tensor, []

    def noting(tensor):
        made.append(weakref.ref(twin := real(tensor)))
        return twin

    class Counts(nn.Module):
        def forward(self, x):
            most[depth] = max(most.get(depth, 0), sum(ref() is not None for ref in made))
            return x + 1

    monkeypatch.setattr(copies, "copy_tensor", noting)
    most: dict[int, int] = {}
    for depth in (3, 12):
        made.clear()
        subject._measure(nn.Sequential(*(Counts() for _ in range(depth))), as_call(torch.ones(2)), layers=True)
    assert most[12] == most[3] <= 3  # the model's input and that of one layer, now and a moment ago


def test_what_the_forward_raises_names_the_layer():
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    with pytest.raises(ModelError, match=r"Sequential failed in layer '0' while its time was measured: IndexError"):
        measure_latency(model, as_call(torch.tensor([[9]])))


def test_a_model_on_meta_has_no_time_and_a_note_says_so():
    found = timed(nn.Linear(2, 3, device="meta"), torch.zeros(1, 2, device="meta"))
    assert found.latency is found.layer("").latency is None
    assert any("meta" in note and "no time was measured" in note for note in found.notes)


def test_a_model_that_was_compiled_is_timed_as_it_is_written_and_a_note_says_so():
    model = nn.Linear(2, 2)
    model.compile(backend=lambda *_: pytest.fail("something was compiled"))
    assert any("torch.compile" in note for note in timed(model, torch.zeros(1, 2)).notes)


def test_other_work_of_ours_stands_still_meanwhile_and_where_it_does_not_the_record_says_so(monkeypatch):
    monkeypatch.setattr(subject.alone.__wrapped__, "__defaults__", (0.05,))
    over, begun = threading.Event(), threading.Event()

    def stubborn():
        with working():
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=stubborn, daemon=True)
    thread.start()
    begun.wait(5)
    found = timed(nn.Linear(2, 2), torch.zeros(1, 2))
    over.set()
    thread.join(5)
    assert any("measured beside it" in note for note in found.notes)
    assert timed(nn.Linear(2, 2), torch.zeros(1, 2)).notes == ()


def test_inputs_that_cannot_be_copied_are_handed_on():
    class Tagged(nn.Module):
        def forward(self, x, lock):
            with lock:
                return x.add_(1)

    x = torch.zeros(2)
    found = subject._measure(Tagged(), as_call((x, threading.Lock())), layers=True)
    assert found.whole.repeats >= 10
    assert x.sum() == 0
    assert "TypeError" in found.failed[""]


def test_a_thread_that_does_not_get_the_processor_is_noticed():
    waiting = measure_latency(Sleep(0.004), as_call(torch.zeros(1)))
    assert waiting.ran < 0.5
    assert "the processor worked for it in" in waiting.warning
    busy = measure_latency(nn.Linear(256, 256), as_call(torch.zeros(256, 256)))
    assert busy.ran > waiting.ran


def test_a_slow_model_is_repeated_less(monkeypatch):
    monkeypatch.setattr(subject, "_SLOW_S", 0.001)
    found = timed(Parent(), torch.zeros(2, 3))
    assert found.latency.repeats == 4
    assert found.layer("long").latency.repeats == 4  # two rounds of two


def test_only_the_whole_is_measured_without_layers():
    found = measure_latency(nn.Linear(2, 2), as_call(torch.zeros(5, 2)))
    assert (found.batch, found.device, found.residual_s) == (5, "cpu", None)
    assert found.repeats >= 10


def test_times_survive_json():
    found = timed(specimen("perceptron").build(), specimen("perceptron").inputs())
    assert type(found).from_dict(found.to_dict()) == found


def test_a_cell_in_a_long_loop_is_timed_in_every_call_but_seldom():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(4, 4)

        def forward(self, x):
            state = x[0]
            for step in x:
                state = self.cell(step, state)
            return state

    found = subject._measure(Loop(), as_call(torch.rand(300, 2, 4)), layers=True)
    assert set(found.layers) == {"", "cell"}
    assert found.layers["cell"].repeats == 10  # two in each round; a cell that is called once has sixteen
    assert found.layers["cell"].seconds > found.layers[""].seconds


def test_a_layer_that_calls_others_only_when_it_is_repeated_is_named():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.turn = nn.ReLU(), 0

        def forward(self, x):
            self.turn += 1
            return self.inner(x) if self.turn > 1 else x

    found = subject._measure(nn.Sequential(Late(), nn.ReLU()), as_call(torch.rand(3)), layers=True)
    assert "0" in found.failed
    assert "1" in found.layers
