"""What `apply` did, as text and as a page; and the views of plans, ranks, widths, repairs and module trees."""

from __future__ import annotations

import dataclasses
import json

import pytest

from effwidgets.records import (
    VIEWS,
    Account,
    Cost,
    Difference,
    DiffLine,
    Edit,
    Memory,
    Piece,
    Plan,
    RankRow,
    Ranks,
    Refit,
    Repaired,
    Rounded,
    Skip,
    Step,
    WidthChoice,
    WidthTime,
    settings,
)
from effwidgets.testing.contracts import ViewContract
from effwidgets.views.account import draw_html, draw_text

LOW_RANK = Step(transform="low_rank", layers=("fc",), settings=settings(rank=4))
PRUNE = Step(transform="channel_prune", layers=("conv",), settings=settings(channels=20, criterion="l2"))
NOTE = "Dense kernels multiply by zeros like by other numbers."


def memory(size: int) -> Memory:
    return Memory(param_bytes=size, inference_peak_bytes=2 * size, inference_peak_at="conv", saved_bytes=3 * size)


REPAIRED = Repaired(
    steps=("least_squares",),
    error_before=0.6,
    error_after=0.03,
    seconds=0.25,
    notes=("conv.1 was fitted again.",),
    refits=(
        Refit(layer="conv.1", step="least_squares", rows=512, before=0.4, after=0.02, kept=True),
        Refit(layer="fc.1", step="least_squares", rows=64, before=0.1, after=0.2, kept=False),
    ),
)
ACCOUNT = Account(
    model="DigitNet",
    cost_before=Cost(params=1000, macs=500_000, param_bytes=4000),
    cost_after=Cost(params=400, macs=125_000, param_bytes=1600),
    memory_before=memory(4000),
    memory_after=memory(1600),
    edits=(
        Edit(
            step=LOW_RANK,
            before=(Piece(layer="fc", text="Linear(in_features=32, out_features=10, bias=True)"),),
            after=(
                Piece(layer="fc.0", text="Linear(in_features=32, out_features=4, bias=False)"),
                Piece(layer="fc.1", text="Linear(in_features=4, out_features=10, bias=True)"),
            ),
            error=0.11,
            notes=(NOTE, "whitened by 48 rows of calibration inputs"),
        ),
        Edit(step=PRUNE, before=(), after=(), measured=settings(download_bytes=1234), notes=(NOTE,)),
    ),
    skipped=(Skip(transform="spatial_svd", layers=("conv",), reason="spatial_svd at conv: the output was not finite"),),
    seconds=1.5,
    repaired=REPAIRED,
    optimizer="Make a new optimizer: 2 parameters are new (fc.0.weight, fc.1.weight).",
    download_bytes=1300,
)
RANKS = Ranks(
    plan=Plan(steps=(LOW_RANK,)),
    skips=(Skip(transform="low_rank", layers=("head",), reason="nothing stands out"),),
    table=(
        RankRow(layer="fc", ranks=(4,), full=(10,), break_even=(7,), error=0.11, chosen=True),
        RankRow(layer="head", ranks=(0,), full=(10,), break_even=(7,), error=1.0, chosen=False),
    ),
)
ROUNDED = Rounded(
    plan=Plan(steps=(PRUNE,)),
    choices=(
        WidthChoice(
            step=PRUNE,
            chosen=24,
            times=(
                WidthTime(width=20, median_s=0.002, change_s=0.0, error_s=0.0001, repeats=9),
                WidthTime(width=24, median_s=0.0019, change_s=-0.0001, error_s=0.0001, repeats=9),
            ),
            reason="24 costs no more.",
        ),
    ),
)
DIFFERENCE = Difference(
    before="DigitNet",
    after="DigitNet",
    lines=(
        DiffLine(sign="-", layer="fc", text="Linear(32, 10)", params=330, shapes="weight 10 × 32, bias 10"),
        DiffLine(sign="+", layer="fc.0", text="Linear(32, 4)", params=128, shapes="weight 4 × 32"),
    ),
    params_before=1000,
    params_after=798,
)
SHOWN = {
    "account": ACCOUNT,
    "plan": Plan(steps=(LOW_RANK, PRUNE)),
    "ranks": RANKS,
    "widths": ROUNDED,
    "repaired": REPAIRED,
    "difference": DIFFERENCE,
}


@pytest.mark.parametrize("medium", ["text", "html"])
@pytest.mark.parametrize("name", SHOWN)
def test_the_views_keep_their_promises(name: str, medium: str) -> None:
    record = SHOWN[name]
    drawn = ViewContract(VIEWS[f"{name}_{medium}"]).check(record)
    assert record._repr_mimebundle_()["text/plain" if medium == "text" else "text/html"] == drawn
    assert type(record).from_dict(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize("draw", [draw_text, draw_html])
def test_an_account_tells_costs_edits_what_was_left_out_repair_and_optimizer(draw) -> None:
    page = draw(ACCOUNT)
    for told in (
        "2 steps done in 1.50 s, 1 left out",
        "−75%",  # of the MACs
        "Linear 32 → 4 + Linear 4 → 10",
        "11.0%",
        "whitened by 48 rows",
        "download 1.23 kB",
        "the output was not finite",
        "least squares in 250 ms; the outputs were 60.0% off before and 3.0% after",
        "Make a new optimizer",
        "1.30 kB",
    ):
        assert told in page


@pytest.mark.parametrize("draw", [draw_text, draw_html])
def test_what_several_edits_say_is_told_once(draw) -> None:
    page = draw(ACCOUNT)
    assert page.count("Dense kernels multiply") == 1
    assert "2 steps (low_rank, channel_prune): Dense" in page
    assert page.count("spatial_svd") == 1  # nor does a reason name its step twice


def test_without_repair_nothing_is_said_to_be_before_it() -> None:
    bare = dataclasses.replace(ACCOUNT, repaired=None)
    assert "before repair" not in draw_text(bare) + draw_html(bare)
    assert "No repair." in draw_text(bare)


def test_an_error_that_later_steps_made_larger_is_not_laid_on_the_repair() -> None:
    staged = dataclasses.replace(REPAIRED, error_before=0.04, error_after=0.05)
    assert "what the steps cost that came after the first repair" in VIEWS["repaired_text"].draw(staged)


def test_a_layer_name_that_breaks_lines_stays_on_its_line() -> None:
    line = dataclasses.replace(DIFFERENCE.lines[0], layer="a\n+ b")
    text = VIEWS["difference_text"].draw(dataclasses.replace(DIFFERENCE, lines=(line,)))
    assert len(text.splitlines()) == 4


def test_widths_of_a_plan_that_removes_no_channels_say_so() -> None:
    none = Rounded(plan=Plan(steps=(LOW_RANK,)), choices=())
    for name in ("widths_text", "widths_html"):
        assert "no step of the plan removes channels" in VIEWS[name].draw(none)
