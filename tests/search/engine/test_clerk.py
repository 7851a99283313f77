"""What a store is told beside the results: the budgets, once they can be said in the unit of each cost."""

from __future__ import annotations

import itertools
import threading

from effwidgets.records import Budget
from effwidgets.search import SearchOptions, explore
from effwidgets.search.store.memory import MemoryStore
from tests.search.conftest import PLANS, low_rank


def test_a_store_is_told_of_the_budgets_behind_the_dense_model_and_of_each_change(model, x, accuracy, monkeypatch):
    told, put = [], []
    monkeypatch.setattr(MemoryStore, "set_budgets", lambda self, budgets: told.append((len(put), budgets)))
    real = MemoryStore.put
    monkeypatch.setattr(MemoryStore, "put", lambda self, known: (put.append(known.number), real(self, known)))
    study = explore(model, x, evaluate=accuracy, options=SearchOptions(plans=PLANS[:2], budgets={"macs": 0.5})).run()
    dense = study.candidates()[0].cost
    half = Budget(axis="macs", limit=dense.macs / 2)
    assert told == [(1, (half,))]  # behind the dense model, and not again while nothing changes
    study.set_budget("params", 0.25)
    study.add(low_rank("2", 3))
    study.run()
    assert told[1:] == [(4, (half, Budget(axis="params", limit=dense.params / 4)))]


def test_two_searches_in_one_folder_try_no_more_than_trials_together(model, x, tmp_path):
    """The other one is in the middle of its last candidate: its claim counts before there is a result."""
    inside, go_on = threading.Event(), threading.Event()
    calls = itertools.count()

    def slow(candidate):
        if next(calls) == 3:  # the dense model and two candidates came before
            inside.set()
            assert go_on.wait(60)
        return float(candidate(x).detach().square().mean())

    options = SearchOptions(trials=4, sampler="random", store=tmp_path / "search", calibration=x)
    first = explore(model, x, evaluate=slow, options=options).start()
    assert inside.wait(60)
    second = explore(model, x, evaluate=lambda candidate: 0.5, options=options).run()
    go_on.set()
    assert first.wait(60)
    numbers = {known.number for study in (first, second) for known in study.candidates()}
    assert numbers == {0, 1, 2, 3, 4}
    assert [known.state for known in second.candidates()] == ["done", "done", "done", "running", "done"]
