from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython
from torch import nn
from torch.nn.utils import prune

import effwidgets
from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.magics import WORDS, effdl
from effwidgets.records import Profile, Step, Suggestions, settings
from effwidgets.units import seconds_text
from effwidgets.views.layers import payload


@pytest.fixture
def names() -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    return {"model": model, "x": torch.ones(4, 32), "torch": torch, "nn": nn}


def test_profile_returns_the_profile(names: dict[str, Any]) -> None:
    profile = effdl("profile model x", names=names)
    assert isinstance(profile, Profile)
    assert profile.cost.macs == 4 * (32 * 32 + 32 * 8)


def test_the_manual_has_a_word_for_every_verb_of_the_package() -> None:
    verbs = {name for name in effwidgets.__all__ if inspect.isfunction(getattr(effwidgets, name))}
    # In a line the rule is asked for, not the function.
    short = {"rank_plan": "ranks", "sparsity_plan": "sparsity", "rounded": "widths", "estimate_plan": "estimate"}
    assert short.keys() <= verbs
    # These give no record to look at: a model for `profile`, batches for `apply`, a training for `explore --finetune`,
    # one number, what stands behind the words, IPython's own door.
    assert {short.get(verb, verb) for verb in verbs} - set(WORDS) == {
        "on_meta", "calibration_of", "distill", "download_bytes", "session_of", "sessions", "settings",
        "load_ipython_extension", "unload_ipython_extension",
    }  # fmt: skip


def test_profile_counts_zeros_and_chooses_the_optimizer_when_asked(names: dict[str, Any]) -> None:
    prune.random_unstructured(names["model"][2], "weight", amount=64)
    assert effdl("profile model x", names=names).zeros == ()
    found = effdl("profile model x --sparsity --optimizer Adam", names=names)
    assert {zeros.name: zeros.zeros for zeros in found.zeros if zeros.source == "mask"} == {"2.weight": 64}
    assert found.memory.optimizer == "adam"
    with pytest.raises(UnknownNameError, match="momentum"):
        effdl("profile model x --optimizer momentun", names=names)


def test_an_expression_with_spaces_is_quoted_and_several_inputs_are_a_tuple(names: dict[str, Any]) -> None:
    names["two"] = nn.Bilinear(3, 5, 2)
    profile = effdl("profile two 'torch.ones(2, 3)' 'torch.ones(2, 5)'", names=names)
    assert profile.inputs == ((2, 3), (2, 5))


@pytest.mark.parametrize(
    "inputs",
    ['batch["input_ids"]', "batch['input_ids']", "torch.ones(4, 32)", "'torch.ones(4, 32)'", "\"batch['input_ids']\""],
)
def test_an_expression_with_quotes_or_brackets_is_one_word(names: dict[str, Any], inputs: str) -> None:
    names["batch"] = {"input_ids": torch.ones(4, 32)}
    assert effdl(f"profile model {inputs} --train", names=names).inputs == ((4, 32),)


def test_the_measured_time_is_on_every_page(names: dict[str, Any]) -> None:
    found = effdl("profile model x --latency", names=names)
    shown = seconds_text(found.latency.median_s)
    bundle = found._repr_mimebundle_()
    assert f"Latency {shown} ±" in bundle["text/plain"]
    assert shown in bundle["text/html"]
    assert payload(found)["totals"]["latency_s"] == found.latency.median_s
    assert "Latency" not in effdl("profile model x", names=names)._repr_mimebundle_()["text/plain"]


def test_reconcile_matches_the_counters_that_are_named(names: dict[str, Any]) -> None:
    found = effdl("reconcile model x", names=names)
    assert [peer.peer for peer in found.peers] == ["fvcore", "flop_counter"]
    assert found.ours == 4 * (32 * 32 + 32 * 8) == found.peers[0].flops
    both = effdl("reconcile model x --with flop_counter_meta --backward", names=names)
    assert [peer.peer for peer in both.peers] == ["flop_counter_meta"]
    assert both.backward
    with pytest.raises(UnknownNameError, match="fvcore"):
        effdl("reconcile model x --with fvcor", names=names)


def test_the_whole_way_by_words(names: dict[str, Any], tmp_path: Path) -> None:
    found = effdl("suggest model x --goal params", names=names)
    assert isinstance(found, Suggestions)
    assert found.goal == "params"
    names["applied"] = effdl("apply model --pick 0", names=names)
    assert effdl("apply model", names=names) is names["applied"]
    effdl(f"save applied '{tmp_path / 'small'}'", names=names)
    names["build"] = lambda: nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    again = effdl(f"load '{tmp_path / 'small'}' build", names=names)
    assert torch.equal(again(names["x"]), names["applied"].model.eval()(names["x"]))
    assert effdl("undo model", names=names) is None
    page = effdl(f"report applied.profile '{tmp_path / 'a.html'}'", names=names)
    assert "Linear" in Path(page).read_text()


def test_a_plan_by_a_rule_is_applied_looked_at_and_taken_back_by_words(
    names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names["data"] = [names["x"], 2 * names["x"]]
    assert {one.transform for one in effdl("sites model x --technique low_rank,int8", names=names).sites} == {
        "low_rank", "int8",
    }  # fmt: skip
    names["ranks"] = effdl("ranks model --rule energy --value 0.5 --layers 0 --calibration data", names=names)
    assert effdl("estimate model --plan ranks", names=names).macs < 0
    names["applied"] = effdl("apply model --plan ranks --calibration data --repair bias", names=names)
    assert names["applied"].repaired is not None
    assert effdl("apply model --plan ranks --no-repair", names=names).repaired is None
    assert [line.sign for line in effdl("diff model applied", names=names).lines] == ["-", "+", "+"]
    assert len(effdl("diff model", names=names)) == 3
    effdl(f"save applied '{tmp_path / 'small'}'", names=names)
    assert effdl(f"replay '{tmp_path / 'small'}' model x", names=names).plan == names["ranks"].plan
    assert effdl(f"export applied '{tmp_path / 'small.pt2'}' --this-batch", names=names).dynamic is False
    assert not effdl("undo model 0", names=names).edits
    for _ in range(3):
        effdl("undo model", names=names)
    assert "Sequential is as it came" in capsys.readouterr().out
    assert len(effdl("sparsity model x --share 0.75 --allocation erk", names=names)) == 2
    names["step"] = Step(transform="channel_prune", layers=("0",), settings=settings(channels=20))
    assert len(effdl("widths model x --plan step --seconds 0.01", names=names).choices) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("apply model --plan nn --repair bias --no-repair", "one of them was expected"),
        ("estimate model", "--plan PLAN"),
        ("undo model first", "invalid int value"),
        ("ranks model x --rule enrgy", "Did you mean 'energy'"),
        ("sites model x --technique lowrank", "Did you mean 'low_rank'"),
        ("profil model x", "Did you mean 'profile'"),
        ("profile modell x", "Did you mean model"),
        ("profile x x", "x is Tensor; a torch.nn.Module was expected"),
        ("profile model x --quick", "Unrecognized arguments: --quick"),
        ("profile 'model", "Close the quotes"),
        ("profile model x(", "is no expression"),
        ("suggest model x --goal beauty", "beauty"),
        ("apply model --pick one", "numbers such as 0,2"),
        ("apply model --pick 99", "There is no suggestion 99"),
        ("explore model x", "--evaluate"),
        ("pareto model", "no search of this model yet"),
        ("help profil", "Did you mean 'profile'"),
    ],
)
def test_a_wrong_line_is_answered_with_what_to_write(names: dict[str, Any], line: str, message: str) -> None:
    effdl("suggest model x", names=names)
    with pytest.raises(InputError, match=message):
        effdl(line, names=names)


def test_suggest_takes_a_budget_by_cost_and_a_function_that_scores(names: dict[str, Any]) -> None:
    names["evaluate"] = lambda model: sum(parameter.numel() for parameter in model.parameters())
    found = effdl("suggest model x --budget macs=50%,params=700 --evaluate evaluate", names=names)
    macs, params = found.cost.macs, found.cost.params
    made = effwidgets.apply(names["model"], found.plan(*found.chosen), names["x"]).profile
    assert made.cost.macs <= 0.5 * macs
    assert made.cost.params <= 700 < params
    assert found.scores[0].value == params
    # Each alone was carried out and handed to the function, which says how many parameters it has then.
    assert [one.score for one in found] == [params + one.change.params for one in found]


def test_suggest_takes_one_amount_for_its_goal(names: dict[str, Any]) -> None:
    found = effdl("suggest model x --goal params --budget 60%", names=names)
    made = effwidgets.apply(names["model"], found.plan(*found.chosen), names["x"]).profile
    assert made.cost.params <= 0.6 * found.cost.params


@pytest.mark.parametrize("budget", ["macs=", "=50%", "macs=50%,params"])
def test_a_budget_that_is_half_written_is_refused_with_how_it_is_written(names: dict[str, Any], budget: str) -> None:
    with pytest.raises(InputError, match="something like macs=50%,latency_s=60% was expected"):
        effdl(f"suggest model x --budget {budget}", names=names)


def test_an_unknown_word_names_all_the_known_ones(names: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        effdl("fly", names=names)
    assert set(caught.value.known) == set(WORDS)


def test_a_cell_is_run_before_its_line(names: dict[str, Any]) -> None:
    profile = effdl("profile made x", "made = nn.Linear(32, 2)", names=names)
    assert profile.model == "Linear"


def test_help_tells_every_word(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    effdl("", names=names)
    told = capsys.readouterr().out
    lines = {line.split()[0]: line for line in told.splitlines() if line.startswith("  ")}
    assert set(lines) == set(WORDS)
    assert all(line.endswith(".") for line in lines.values())  # each says what it does
    assert all(f"%effdl {word} [-h]" in told for word in WORDS)
    assert "%%" not in told
    effdl("help suggest", names=names)
    assert "--goal" in capsys.readouterr().out


@pytest.mark.parametrize("expression", ["1/0", "batch.nothing", "batch[99]"])
def test_an_expression_that_raises_is_named_with_what_it_raised(expression: str) -> None:
    names = {"net": nn.Linear(4, 2), "batch": torch.ones(1, 4)}
    with pytest.raises(InputError, match=re.escape(expression) + r" raised \w+Error: "):
        effdl(f"profile net {expression}", names=names)


@pytest.fixture(scope="module")
def shell() -> InteractiveShell:
    found = start_ipython() or InteractiveShell.instance()
    found.run_line_magic("load_ext", "effwidgets")
    return found


def test_in_ipython_it_returns_values_shows_errors_in_a_line_and_can_be_unloaded(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.user_ns.update(net=nn.Linear(4, 2), batch=torch.ones(1, 4))
    shell.run_cell("p = %effdl profile net batch")
    assert shell.user_ns["p"].cost.macs == 8
    result = shell.run_cell("%effdl profile nett batch")
    assert isinstance(result.error_in_exec, EffError)
    shown = capsys.readouterr().out
    assert "Did you mean net" in shown
    assert "magic.py" not in shown
    shell.run_cell("%effdl trace")
    assert "magic.py" in capsys.readouterr().out
    assert "%effdl suggest" in (shell.find_line_magic("effdl").__doc__ or "")
    shell.run_line_magic("unload_ext", "effwidgets")
    assert shell.find_line_magic("effdl") is None


def test_a_search_is_told_how_by_words(names: dict[str, Any]) -> None:
    names["loss"] = lambda candidate: candidate(names["x"]).square().mean().item()
    how = (
        "--sampler ladder --trials 1 --better lower --executor threads --budget macs=60%,bytes=80% --budget params=70%"
    )
    study = effdl(f"explore model x --evaluate loss {how}", names=names)
    assert study.wait(60)
    state = study.snapshot()
    assert state.better == "lower"
    assert [budget.axis for budget in state.budgets] == ["macs", "param_bytes", "params"]
    with pytest.raises(InputError, match="macs=50%"):
        effdl("explore model x --evaluate loss --budget macs", names=names)
    with pytest.raises(InputError, match="executor is int"):
        effdl("explore model x --evaluate loss --executor 3", names=names)
