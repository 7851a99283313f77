from __future__ import annotations

import pytest

from effwidgets.widgets.places import Place, here


@pytest.mark.parametrize(
    ("older", "newer", "replaced"),
    [
        (Place("cell", "run 1"), Place("cell", "run 2"), True),
        (Place("cell", "run 1"), Place("cell", "run 1"), False),
        (Place("cell", "run 1"), Place("other", "run 2"), False),
        (Place("cell", "run 1"), Place("other", "run 2", ("cell",)), True),
        (Place(), Place("", "run 2"), False),
    ],
)
def test_a_view_is_off_the_page_when_its_cell_ran_again_or_was_deleted(older, newer, replaced):
    assert newer.replaces(older) is replaced


def test_outside_of_a_kernel_there_is_no_place():
    assert here() == Place()
