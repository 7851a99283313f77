from __future__ import annotations

import ast

import pytest

from effwidgets.errors import InputError
from effwidgets.records import SearchReport
from effwidgets.search import SearchOptions, explore
from effwidgets.search.engine.recipe import code_of
from effwidgets.search.engine.report import safe_address
from tests.search.conftest import PLANS


def front_of(study):
    return [(one.plan, one.score(), one.cost) for one in study.front()]


def test_the_cell_of_a_report_does_the_search_again(model, x, accuracy, tmp_path, monkeypatch):
    options = SearchOptions(score_name="accuracy", plans=PLANS, calibration=x[:32], budgets={"macs": 0.6}, seed=3)
    study = explore(model, x[:1], evaluate=accuracy, options=options).run()
    record = study._report_()
    monkeypatch.chdir(tmp_path)  # it saves there
    scope = {"model": model, "inputs": x[:1], "evaluate": accuracy, "calibration": x[:32], "plans": PLANS}
    exec(record.code, scope)
    assert front_of(scope["study"]) == front_of(study)
    assert scope["options"] == options
    best = study.best()
    assert record.chosen[0] == best.number
    assert accuracy(scope["small"]) == best.score() == accuracy(scope["applied"].model)


def test_a_report_is_one_file_that_names_every_candidate_of_the_front(model, x, accuracy, tmp_path):
    study = explore(model, x[:1], evaluate=accuracy, options=SearchOptions(plans=PLANS)).run()
    path = study.report(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert all(f'id="candidate-{one.number}"' in text for one in study.front() if one.number)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="could not be written"):
        study.report(tmp_path / "no" / "report.html")


def test_a_report_can_be_written_before_the_search_began_and_after_nothing_kept_the_budget(model, x, accuracy):
    study = explore(model, x[:1], evaluate=accuracy, options=SearchOptions(plans=PLANS[:1]))
    assert study._report_().chosen == ()
    study.run()
    study.set_budget("macs", 10)  # MACs: no candidate keeps it
    assert isinstance(study._report_(), SearchReport)


def test_passwords_of_a_store_stay_out_of_the_report():
    hidden = safe_address("mysql+pymysql://me:p@ss@host:3306/search?password=secret")
    assert hidden == "mysql+pymysql://me:***@host:3306/search"
    code = code_of(SearchOptions(store="postgresql://me:secret@host/db"), 1, "postgresql://me:***@host/db")
    assert "secret" not in code
    assert "***" in code


def test_the_cell_is_code_whatever_the_options_hold(x):
    options = SearchOptions(
        calibration=x,
        finetune=print,
        executor=object(),
        store="a folder's",
        box=(0.0, 1.0),
        objectives=("macs", "params"),
    )
    tree = ast.parse(code_of(options, None, "a folder's"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {"model", "inputs", "evaluate", "calibration", "finetune", "executor"} <= names
    assert "plans" not in names
