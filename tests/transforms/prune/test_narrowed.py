"""Where channels cross the ends of a module. What follows from it is compared with real profiles in test_pruned."""

from __future__ import annotations

import pytest

from effwidgets.records import Group, Member
from effwidgets.transforms.prune.narrowed import Ends, ends_of

STREAM = Group(
    name="stem",
    channels=4,
    members=(
        Member(layer="stem", side="out"),
        Member(layer="block.conv2", side="out"),
        Member(layer="block.bn2", side="out"),
        Member(layer="side.norm", side="out"),
        Member(layer="block.conv1", side="in"),
        Member(layer="head.fc", side="in"),
    ),
)
MAKERS = frozenset({"stem", "block.conv2"})


@pytest.mark.parametrize(
    ("name", "touched", "expected"),
    [
        ("block", False, Ends(into=True, out=True)),  # reads the stream and adds to it
        ("head", False, Ends(into=True, out=False)),
        ("stem", False, Ends(into=False, out=True)),
        ("side", False, Ends(into=True, out=True)),  # passes it on
        ("act", True, Ends(into=True, out=True)),  # passes it on and keeps what it returns
        ("act", False, Ends(into=False, out=False)),  # nothing shows that it has to do with these channels
    ],
)
def test_channels_cross_where_one_end_is_inside_and_the_other_is_not(name, touched, expected):
    assert ends_of(name, STREAM, MAKERS, touched=touched) == expected


def test_channels_that_never_leave_cross_no_end():
    group = Group(
        name="b.one", channels=4, members=(Member(layer="b.one", side="out"), Member(layer="b.two", side="in"))
    )
    assert ends_of("b", group, frozenset({"b.one"}), touched=True) == Ends(into=False, out=False)
