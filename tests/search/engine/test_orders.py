"""What travels between the coordinator and its workers."""

from __future__ import annotations

import pickle

from effwidgets.records import Candidate, Climb, Plan, Score, Step, settings
from effwidgets.search.engine.orders import Made, Order

PLAN = Plan(steps=(Step(transform="low_rank", layers=("fc",), settings=settings(rank=4)),))


def test_an_order_survives_pickle_and_json():
    climb = Climb(rung="repaired", scores=(Score(metric="accuracy", value=0.5),))
    order = Order(number=3, plan=PLAN, rung="fine-tuned", seed=43, source="tpe", main="accuracy", climbed=(climb,))
    assert pickle.loads(pickle.dumps(order)) == order  # noqa: S301  ours
    assert Order.from_dict(order.to_dict()) == order


def test_the_model_itself_never_travels():
    candidate = Candidate(number=3, plan=PLAN, rung="repaired", state="done")
    made = pickle.loads(pickle.dumps(Made(candidate=candidate, tensors=b"1", applied=lambda: None)))  # noqa: S301  ours
    assert (made.candidate, made.tensors, made.applied) == (candidate, b"1", None)
