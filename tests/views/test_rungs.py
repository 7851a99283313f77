from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import RUNGS, Budget, Climb, Score
from effwidgets.views import pareto
from effwidgets.views.rungs import earlier, rung_mark, rungs_of, way_up


def climb(rung, score):
    return Climb(rung=rung, scores=() if score is None else (Score(metric="accuracy", value=score),))


@pytest.fixture
def tuned(study):
    up = dataclasses.replace(
        study.candidates[4],
        rung="fine-tuned",
        climbed=(climb("repaired", 0.9), climb("briefly tuned", 0.95)),
    )
    worse = dataclasses.replace(study.candidates[1], climbed=(climb("fine-tuned", 0.97), climb("fine-tuned", None)))
    return dataclasses.replace(study, candidates=(study.candidates[0], worse, *study.candidates[2:4], up))


def test_the_way_up_goes_through_the_lower_rungs_and_says_what_was_no_better(tuned):
    rows = pareto.payload(tuned)["candidates"]
    assert way_up(rows[4], "{:.2f}".format) == "repaired 0.90 → briefly tuned 0.95 → fine-tuned 0.98"
    assert way_up(rows[1], "{:.2f}".format) == "repaired; fine-tuned 0.97 was no better; fine-tuned failed"
    assert way_up(rows[2], "{:.2f}".format) == "repaired"
    assert earlier(rows[1]) == []


def test_rungs_stand_from_low_to_high_without_the_dense_model(tuned):
    assert rungs_of(pareto.payload(tuned)["candidates"]) == ["repaired", "fine-tuned"]


def test_each_rung_has_a_sign_of_its_own():
    assert len({rung_mark("prune", rung, 5, 5) for rung in RUNGS[1:]}) == len(RUNGS) - 1


def test_the_picture_shows_rungs_errors_budgets_and_the_way_up(tuned):
    timed = dataclasses.replace(tuned, budgets=(Budget(axis="macs", limit=1e6),))
    page = pareto.HTML.draw(timed)
    assert page.count('class="climb"') == 1
    assert "budget ≤ 2.00 M" in page
    assert ">fine-tuned</text>" in page
    scored = [dataclasses.replace(one.scores[0], error=0.01) for one in tuned.candidates]
    unsure = tuple(
        dataclasses.replace(one, scores=(score,)) for one, score in zip(tuned.candidates, scored, strict=True)
    )
    assert pareto.HTML.draw(dataclasses.replace(tuned, candidates=unsure)).count('class="error"') == len(unsure)


def test_the_figure_has_the_same_errors_budget_and_way_up(tuned):
    unsure = dataclasses.replace(tuned.candidates[4], scores=(Score(metric="accuracy", value=0.98, error=0.01),))
    wanted = dataclasses.replace(
        tuned, candidates=(*tuned.candidates[:4], unsure), budgets=(Budget(axis="macs", limit=1e6),)
    )
    figure = pareto.FIGURE.draw(wanted)
    [trace] = [trace for trace in figure.data if 4 in (trace.customdata if trace.customdata is not None else ())]
    place = list(trace.customdata).index(4)
    assert trace.error_y.array[place] == 0.01
    assert "repaired 90.0% → briefly tuned 95.0% → fine-tuned 98.0%" in trace.text[place]
    assert "proposed by TPE" in trace.text[place]
    assert [shape.x0 for shape in figure.layout.shapes] == [2e6]  # FLOPs
    plain = pareto.FIGURE.draw(tuned)
    assert not any(trace.error_y.visible for trace in plain.data[1:])
