"""Steps and plans say what is wrong when they are made, not when they are used."""

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Cost, Memory, Plan, Step, Suggestion, Suggestions, settings

STEP = Step(transform="low_rank", layers=("fc",), settings=settings(rank=4))


@pytest.mark.parametrize("layers", ["fc", ["fc"], ("fc", 3), None])
def test_a_step_takes_a_tuple_of_names(layers):
    with pytest.raises(InputError, match="a tuple of names was expected"):
        Step(transform="low_rank", layers=layers)


def test_settings_are_made_by_settings():
    with pytest.raises(InputError, match=r"settings is dict; write settings=settings\(rank=4\)"):
        Step(transform="low_rank", layers=("fc",), settings={"rank": 4})


@pytest.mark.parametrize("steps", [[STEP], (STEP, 3), STEP])
def test_a_plan_takes_a_tuple_of_steps(steps):
    with pytest.raises(InputError, match="a tuple of Step"):
        Plan(steps=steps)


def test_a_setting_that_nobody_reads_is_answered_with_the_known_ones():
    STEP.check_settings(("rank",))
    with pytest.raises(UnknownNameError, match=r"'rank'.*'ranks'"):
        STEP.check_settings(("ranks",))


@pytest.mark.parametrize("index", ["0", None, 0.0, True, -1, 1])
def test_a_plan_of_suggestions_takes_places_in_the_list_only(index):
    memory = Memory(param_bytes=0, inference_peak_bytes=0, inference_peak_at="", saved_bytes=0)
    one = Suggestion(step=STEP, family="factorize", headline="", change=Cost(), reason="")
    found = Suggestions(model="M", goal="macs", cost=Cost(), memory=memory, suggestions=(one,), skips=())
    assert found.plan(0) == Plan(steps=(STEP,))
    with pytest.raises(UnknownNameError, match="There is no suggestion"):
        found.plan(index)
