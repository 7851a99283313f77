"""Whole candidates timed side by side."""

from __future__ import annotations

import copy
import statistics
import threading
import time

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled, InputError, ModelError
from effwidgets.profiling.timing.alone import working
from effwidgets.search.clocks.models import Times, clock_models, time_models

X = torch.zeros(2, 8)


def net(*, inner=None):
    return nn.Sequential(nn.Linear(8, 8), inner or nn.Dropout(0.5), nn.BatchNorm1d(8)).train()


TIMES = Times(
    numbers=(0, 3),
    samples=((4.0, 6.0, 5.0, 9.0, 5.0, 5.0, 4.0, 6.0), (3.0, 4.0, 4.0, 8.0, 3.0, 4.0, 3.0, 4.0)),
    device="cpu",
    threads=1,
)


def test_a_score_is_the_median_and_the_notch_of_the_samples():
    low, middle, high = statistics.quantiles(TIMES.of(0), n=4)
    score = TIMES.scores()[0]
    assert (score.metric, score.value) == ("latency_s", middle == 5.0 and 5.0)
    assert score.error == pytest.approx(1.57 * (high - low) / 8**0.5)


def test_a_change_is_read_within_the_rounds():
    # 1, 2, 1, 1, 2, 1, 1, 2 seconds in turn: the disturbed fourth round is as good as the others.
    change, error = TIMES.change(3)
    assert change == -1.0
    assert error == pytest.approx(1.57 * 1.0 / 8**0.5)
    assert TIMES.change(0, against=3)[0] == 1.0


def test_times_travel_as_json():
    assert Times.from_dict(TIMES.to_dict()) == TIMES


class Asleep(nn.Module):
    """Takes as long as it is told to, by the clock on the wall and by that of the thread."""

    def __init__(self, seconds, called=None, number=0):
        super().__init__()
        # In a tuple, which a copy of the module shares.
        self.seconds, self.call = seconds, ([].append if called is None else called.append, number)

    def forward(self, x):
        self.call[0](self.call[1])
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass
        return x


def test_a_model_that_takes_longer_is_seen_to():
    models = {number: Asleep(seconds) for number, seconds in ((0, 0.004), (7, 0.001), (2, 0.002))}
    found = time_models(models, X, seconds=0.05)
    assert set(found) == {0, 7, 2}
    # Each is at least what it waits for; that one overtakes another twice as slow would take a fault of the clock.
    assert all(found[number].value >= model.seconds for number, model in models.items())
    assert found[7].value < found[2].value < found[0].value


def test_each_is_called_before_it_is_timed_and_the_order_is_drawn_anew_each_round():
    called = []
    works = {number: Asleep(0.0015, called, number) for number in range(4)}
    found = clock_models(works, X, seconds=0.01)
    rounds = len(found.of(0))
    assert rounds >= 9
    assert [len(times) for times in found.samples] == [rounds] * 4
    named = called[-4 * rounds :]  # one call a sample: each takes longer than a millisecond
    orders = {tuple(named[start : start + 4]) for start in range(0, len(named), 4)}
    assert len(orders) > 1
    assert all(len(set(order)) == 4 for order in orders), "each once a round"
    assert len(called) >= 4 * (rounds + 2), "and each before that, and in a round that does not count"


def test_models_inputs_and_random_states_are_left_alone():
    class Noisy(nn.Module):
        def forward(self, x):
            return x.add_(torch.rand_like(x))  # writes into what it was given

    model = net(inner=Noisy())
    x = X.clone()
    before = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    flags = [part.training for part in model.modules()]
    time_models({0: model}, x, seconds=0.01)
    assert all(torch.equal(before[0][name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(before[1], torch.get_rng_state())
    assert [part.training for part in model.modules()] == flags
    assert torch.equal(x, X)


def test_other_work_of_ours_stands_still_meanwhile():
    inside, over = threading.Event(), threading.Event()

    def work():
        with working():
            inside.set()
            over.wait(0.2)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(5)
    began = time.monotonic()
    found = clock_models({0: nn.Identity()}, X, seconds=0.01)
    thread.join()
    assert found.undisturbed
    assert time.monotonic() - began >= 0.15, "it waited until the work was over"


def test_it_can_be_cancelled_between_rounds():
    asked = []

    def check():
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        time_models({0: nn.Identity()}, X, seconds=9, check=check)
    assert len(asked) == 3


def test_a_model_that_fails_is_named_by_its_number():
    with pytest.raises(ModelError, match=r"Model 5 \(Linear\) failed while it was timed: RuntimeError: mat1"):
        time_models({0: nn.Identity(), 5: nn.Linear(3, 3)}, X, seconds=0.01)


def test_nothing_to_time_and_a_model_on_meta_are_refused():
    with pytest.raises(InputError, match="no model to time"):
        time_models({}, X)
    with pytest.raises(InputError, match="Model 2 stands on meta"):
        time_models({2: nn.Linear(8, 8, device="meta")}, X)
