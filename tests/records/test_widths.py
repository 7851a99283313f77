"""What was measured of widths, as one line and as JSON."""

from __future__ import annotations

import json

from effwidgets.records import Plan, Rounded, Step, WidthChoice, WidthTime, settings

STEP = Step(transform="channel_prune", layers=("conv",), settings=settings(channels=42))
TIME = WidthTime(width=48, median_s=0.002, change_s=0.0, error_s=1e-5, repeats=15)


def test_a_choice_says_what_was_asked_and_what_was_taken():
    found = WidthChoice(step=STEP, chosen=48, times=(TIME,))
    assert repr(found).startswith("WidthChoice(conv: 42 asked, 48 taken in 2")
    assert found.time(48) == TIME
    assert found.time(42) is None
    assert repr(WidthChoice(step=STEP, chosen=42)) == "WidthChoice(conv: 42 asked, 42 taken)"


def test_a_rounded_plan_says_how_many_moved_and_survives_json():
    moved, stayed = WidthChoice(step=STEP, chosen=48, times=(TIME,)), WidthChoice(step=STEP, chosen=42)
    found = Rounded(plan=Plan(steps=(STEP, STEP)), choices=(moved, stayed), notes=("one",))
    assert repr(found) == "Rounded(2 steps, 2 measured, 1 at another width)"
    assert Rounded.from_dict(json.loads(json.dumps(found.to_dict()))) == found
