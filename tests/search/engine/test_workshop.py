"""One order at a time: built, trained as far as it asks, scored; faults end in the candidate."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.metrics.base import METRICS
from effwidgets.profiling.calls import as_call
from effwidgets.records import Plan
from effwidgets.search.engine.gate import Gate
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.orders import Order
from effwidgets.search.engine.states import from_bytes
from effwidgets.search.engine.workshop import Workshop
from tests.search.conftest import fingerprint, low_rank, same


def order(plan=Plan(), *, number=1, rung="zero-shot", **more):  # noqa: B008  frozen
    return Order(number=number, plan=plan, rung=rung, seed=5, **more)


def shop(model, x, evaluate, **options):
    return Workshop(model, as_call(x), evaluate, SearchOptions(**options))


def divergence(made):
    return next((score.value for score in made.candidate.measures if score.metric == "divergence"), None)


def test_an_order_done_again_is_the_same_to_the_bit(model, x, accuracy):
    work = shop(model, x, accuracy, calibration=x[:64])
    one, two = (work.make(order(low_rank("2", 4), rung="repaired"), Gate()) for _ in range(2))
    assert same(fingerprint(one.applied.model), fingerprint(two.applied.model))
    assert one.candidate.scores == two.candidate.scores
    assert one.tensors is None


def test_a_trained_model_travels_as_tensors(model, x, accuracy):
    def finetune(candidate, teacher):
        with torch.no_grad():
            for parameter in candidate.parameters():
                parameter.mul_(0.5)

    work = shop(model, x, accuracy, finetune=finetune)
    made = work.make(order(low_rank("2", 4), rung="fine-tuned"), Gate())
    again = work.build(low_rank("2", 4)).model
    assert not same(fingerprint(again), fingerprint(made.applied.model))
    from_bytes(again, made.tensors)
    assert same(fingerprint(again), fingerprint(made.applied.model))


def test_a_training_that_ends_in_nan_fails_though_the_score_is_a_number(model, x, accuracy):
    def diverge(candidate, teacher):
        with torch.no_grad():
            candidate[0].weight[0, 0] = float("nan")

    made = shop(model, x, accuracy, finetune=diverge).make(order(low_rank("2", 4), rung="fine-tuned"), Gate())
    assert made.candidate.state == "failed"
    assert "values in 0.weight that are not finite" in made.candidate.note


def test_the_rungs_are_those_that_the_options_allow(model, x, accuracy):
    def train(candidate, teacher):
        pass

    class Brief:
        briefly = staticmethod(train)

        def __call__(self, candidate, teacher):
            pass

    assert shop(model, x, accuracy).rungs == ("zero-shot",)
    assert shop(model, x, accuracy, calibration=x).rungs == ("repaired",)
    assert shop(model, x, accuracy, finetune=train).rungs == ("zero-shot", "fine-tuned")
    assert shop(model, x, accuracy, finetune=Brief()).rungs == ("zero-shot", "briefly tuned", "fine-tuned")


def test_the_divergence_is_that_of_the_class_probabilities(model, x, accuracy):
    work = shop(model, x, accuracy, calibration=[x[:64], x[64:128]])
    made = work.make(order(low_rank("2", 2), rung="repaired"), Gate())
    with torch.no_grad():
        one, two = (net(x[:128]).double().log_softmax(1) for net in (model, made.applied.model))
    # Kullback and Leibler's sum, mean over all rows, in double precision; the forwards are in single.
    assert divergence(made) == pytest.approx(float((one.exp() * (one - two)).sum(1).mean()), rel=1e-4)


def test_a_model_without_numbers_that_compare_has_no_divergence_and_is_scored_all_the_same():
    class Picks(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 5)

        def forward(self, x):
            return self.fc(x).argmax(1)

    x = torch.eye(6)
    work = Workshop(Picks(), as_call(x), lambda _: 0.5, SearchOptions(calibration=x))
    made = work.make(order(low_rank("fc", 2), rung="repaired"), Gate())
    assert (made.candidate.state, divergence(made)) == ("done", None)


def test_what_goes_wrong_stands_in_the_candidate(model, x):
    def evaluate(candidate):
        raise ZeroDivisionError("by hand")

    made = shop(model, x, evaluate).make(order(low_rank("2", 4), source="tpe"), Gate())
    assert (made.candidate.state, made.candidate.source, made.candidate.seed) == ("failed", "tpe", 5)
    assert "ZeroDivisionError: by hand" in made.candidate.note
    assert made.applied is None


def test_a_stopped_gate_ends_an_order_as_cancelled(model, x, accuracy):
    gate = Gate()
    gate.cancel()
    assert shop(model, x, accuracy).make(order(low_rank("2", 4)), gate).candidate.state == "cancelled"


def test_several_threads_may_make_orders_at_once(model, x, accuracy):
    work = shop(model, x, accuracy, calibration=x[:64])
    found = {}

    def make(rank):
        found[rank] = work.make(order(low_rank("2", rank), number=rank, rung="repaired"), Gate()).candidate

    threads = [threading.Thread(target=make, args=(rank,)) for rank in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rank, candidate in found.items():
        again = shop(model, x, accuracy, calibration=x[:64]).make(
            order(low_rank("2", rank), number=rank, rung="repaired"), Gate()
        )
        assert (candidate.scores, candidate.cost) == (again.candidate.scores, again.candidate.cost)


def test_a_metric_that_raises_costs_only_its_own_value(model, x, accuracy):
    class Broken:
        name, title, unit, better = "broken", "Broken", "", "lower"

        def measure(self, profile):
            raise OSError("no meter")

    METRICS.add("broken", Broken())
    try:
        made = shop(model, x, accuracy).make(order(low_rank("2", 4)), Gate())
    finally:
        METRICS.remove("broken")
    assert made.candidate.state == "done"
    assert "broken could not be measured: OSError: no meter" in made.candidate.note


def test_what_is_no_evaluate_is_refused(model, x):
    with pytest.raises(InputError, match="evaluate is float"):
        shop(model, x, 0.5)
