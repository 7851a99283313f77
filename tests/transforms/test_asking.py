"""What is asked from inside of a step."""

import pytest

from effwidgets.transforms.asking import ask, asking


def test_outside_of_any_work_nothing_is_asked():
    ask()
    with asking(None):
        ask()


def test_what_the_check_raises_passes_the_handlers_of_a_failed_step_and_comes_out_as_it_was():
    def check():
        raise ValueError("stop")

    def step():
        try:
            ask()
        except Exception:  # noqa: BLE001  as stands around the code of plug-ins
            pytest.fail("taken for a failure of the step")

    with pytest.raises(ValueError, match="stop"), asking(check):
        step()
    ask()  # and it is forgotten afterwards
