from __future__ import annotations

import dataclasses
import math

import pytest

from effwidgets.records import (
    VIEWS,
    Cost,
    Score,
    Sensitivity,
    SensitivityPoint,
    SensitivityRow,
    Skip,
    Step,
    settings,
)
from effwidgets.testing.contracts import ViewContract
from effwidgets.views import sensitivity as view
from effwidgets.views.sensitivity_rows import SensitivityPayload
from effwidgets.views.sensitivity_sheet import CSV, FRAME, MARKDOWN


def row(layer: str, at_half: float | None, transform: str = "low_rank") -> SensitivityRow:
    """A line of slope two decades: a tenth of ``at_half`` with three quarters of the work left, ten times with one."""
    points = tuple(
        SensitivityPoint(
            step=Step(transform=transform, layers=(layer,), settings=settings(rank=int(40 * kept))),
            kept=kept,
            change=Cost(macs=-int(1000 * (1 - kept)), params=-10),
            divergence=None if at_half is None else at_half * times,
            error=None if at_half is None else 0.1,
            scores=() if at_half is None else (Score(metric="accuracy", value=0.9 - 0.1 * times / 10),),
            note="" if at_half is not None else "RuntimeError: no such luck",
        )
        for kept, times in ((0.75, 0.1), (0.5, 1.0), (0.25, 10.0))
    )
    return SensitivityRow(
        transform=transform,
        layers=(layer,),
        family="factorize",
        unit=(layer,),
        cost=Cost(macs=1000, params=40),
        planned=3,
        points=points,
    )


@pytest.fixture
def found(stranger: str) -> Sensitivity:
    rows = (row("calm", 1e-5), row(f"sore.{stranger}", 1e-2), row("calm", 1e-4, "channel_prune"), row("odd", None))
    return Sensitivity(
        model="LittleNet",
        cost=Cost(macs=4000, params=200),
        divergence="kl",
        base=(Score(metric="accuracy", value=0.95),),
        rows=rows,
        skips=(Skip(transform="bottleneck", layers=(stranger,), reason="it is too small"),),
        complete=True,
        fitted=96,
        held_out=32,
        notes=("A note.",),
    )


def many(count: int) -> Sensitivity:
    rows = tuple(row(f"block.{number}.fc", 10 ** (-5 + 4 * number / count)) for number in range(count))
    return Sensitivity(model="Large", cost=Cost(macs=4000), divergence="squares", rows=rows, complete=True)


def test_the_payload_has_the_keys_and_types_that_it_states(found, misfits):
    assert misfits(view.payload(found), SensitivityPayload) == []


def test_the_most_sensitive_place_comes_first_and_what_failed_last(found, stranger):
    rows = view.payload(found)["rows"]
    assert [one["layers"][0] for one in rows] == [f"sore.{stranger}", "calm", "calm", "odd"]
    assert [one["transform"] for one in rows][1:3] == ["channel_prune", "low_rank"]
    assert rows[0]["at"] == pytest.approx([1e-3, 1e-2, 1e-1])


def test_the_text_says_what_was_done_each_place_and_what_was_left_alone(found):
    text = view.TEXT.draw(found)
    assert "12 settings, each alone, fitted and repaired with 96 others, on 32 samples held out" in text
    line = next(line for line in text.splitlines() if line.startswith("sore"))
    assert line.split()[-6:] == ["0.001", "0.01", "0.1", "25%", "0.1", "80.0%"]
    assert "As it is: accuracy 95.0%" in text
    assert "it is too small" in text


def test_what_is_not_complete_says_so(found):
    rows = tuple(dataclasses.replace(one, points=one.points[:1]) for one in found.rows)
    part = dataclasses.replace(found, rows=rows, complete=False)
    assert "4 of 12 settings so far" in view.TEXT.draw(part)
    assert view.payload(part)["kept"] == [0.75]  # beyond the last setting nothing is made up
    assert "50% left" not in view.TEXT.draw(part)
    assert "50% left" not in view.HTML.draw(part)


def test_the_page_has_every_number_of_the_curves(found, markup):
    text = markup(view.HTML.draw(found)).text
    for point in found.points:
        if point.divergence is not None:
            assert f"{point.divergence:.2g}" in text
    assert "no such luck" in text
    assert "All 12 settings" in text


def test_names_of_layers_never_become_markup(found, markup, stranger):
    page = markup(view.HTML.draw(found))
    assert "script" not in page.tags
    assert stranger in page.text
    for draw in (view.FIGURE.draw, view.MAP.draw):
        assert "<script>" not in draw(found).to_json()


@pytest.mark.parametrize("name", ["text", "html", "figure", "map"])
def test_the_views_keep_the_promises_of_a_view(found, name):
    ViewContract(VIEWS[f"sensitivity_{name}"]).check(found)


def test_the_figure_draws_the_points_of_each_place_over_what_is_asked_for(found):
    figure = view.FIGURE.draw(found)
    assert len(figure.data) == 3  # what failed has no curve
    assert list(figure.data[0].x) == [0.75, 0.5, 0.25]
    assert list(figure.data[0].y) == pytest.approx([1e-3, 1e-2, 1e-1])
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.autorange == "reversed"
    saved = found.to_plotly(by="macs")
    assert list(saved.data[0].x) == pytest.approx([250 / 4000, 500 / 4000, 750 / 4000])


def test_a_button_draws_the_score_with_the_line_of_the_model_as_it_is(found):
    buttons = view.FIGURE.draw(found).layout.updatemenus[1].buttons
    heights, layout = buttons[1].args
    assert list(heights["y"][0]) == pytest.approx([0.899, 0.89, 0.8])
    assert layout["shapes"][0]["y0"] == 0.95
    assert layout["yaxis"]["type"] == "linear"
    assert len(view.FIGURE.draw(dataclasses.replace(found, base=())).layout.updatemenus) == 1


def test_of_sixty_places_eight_stand_out_and_a_menu_chooses_which():
    figure = view.FIGURE.draw(many(60))
    assert sum(trace.showlegend for trace in figure.data) == 8
    assert next(trace.name for trace in figure.data if trace.showlegend).startswith("block.59.fc")
    least = next(button for button in figure.layout.updatemenus[0].buttons if "least" in button.label)
    shown = [number for number, seen in enumerate(least.args[0]["showlegend"]) if seen]
    assert shown == list(range(52, 60))
    colours = {least.args[0]["line.color"][number] for number in shown}
    assert len(colours) == 8


def test_the_map_has_a_tile_for_each_setting_the_most_sensitive_place_on_top(found, stranger):
    tiles = view.MAP.draw(found).data[0]
    assert len(tiles.y) == len(set(tiles.y)) == 3
    assert list(tiles.z[0]) == pytest.approx([-3, -2, -1])
    none = dataclasses.replace(found.rows[0].points[0], divergence=0.0)
    still = dataclasses.replace(found.rows[0], points=(none, *found.rows[0].points[1:]))
    drawn = view.MAP.draw(dataclasses.replace(found, rows=(still,))).data[0]
    assert drawn.z[0][0] == pytest.approx(math.log10(1e-5))  # no divergence has the colour of the least
    assert drawn.text[0][0] == "75%: 0"


def test_a_sensitivity_without_places_is_shown_in_every_medium(found):
    empty = dataclasses.replace(found, rows=())
    assert "There is no place to try" in view.TEXT.draw(empty)
    assert "There is no place to try" in view.HTML.draw(empty)
    assert len(view.FIGURE.draw(empty).data) == 0
    assert view.MAP.draw(empty).to_json()


def test_the_table_has_a_row_for_each_setting(found):
    table = FRAME.draw(found)
    assert len(table) == 12
    assert table["divergence"].iloc[1] == 1e-5
    assert table["divergence"].isna().sum() == 3
    assert table["macs_change"].tolist()[:3] == [-250, -500, -750]
    assert table["score_accuracy"].iloc[0] == pytest.approx(0.899)
    assert table.attrs["base"] == {"accuracy": 0.95}
    assert CSV.draw(found).splitlines()[0].startswith("layers,transform,family,settings,kept,divergence")


def test_the_table_for_a_paper_has_a_row_for_each_place(found):
    text = MARKDOWN.draw(found)
    line = next(line for line in text.splitlines() if "channel prune" in line)
    assert [cell.strip() for cell in line.split("|")][3:6] == ["1e-05", "0.0001", "0.001"]
    assert "KL divergence in nats" in text
