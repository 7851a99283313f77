"""Which entries of a side stay when channels go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.errors import TransformError
from effwidgets.records import Member
from effwidgets.transforms.channels import entries_kept


@given(st.data())
def test_entries_are_kept_as_if_each_was_labelled_with_its_channel(data):
    channels = data.draw(st.integers(1, 6))
    kept = sorted(data.draw(st.sets(st.integers(0, channels - 1), min_size=1)))
    labels: list[int | None] = []
    members = []
    for _ in range(data.draw(st.integers(1, 3))):
        labels += [None] * data.draw(st.integers(0, 3))
        repeat = data.draw(st.integers(1, 4))
        members.append(Member(layer="x", side="in", repeat=repeat, start=len(labels)))
        labels += [channel for channel in range(channels) for _ in range(repeat)]
    labels += [None] * data.draw(st.integers(0, 3))
    slow = tuple(entry for entry, channel in enumerate(labels) if channel is None or channel in kept)
    assert entries_kept(len(labels), members, channels, kept) == slow


def test_a_group_that_is_wider_than_the_layer_is_refused():
    with pytest.raises(TransformError, match="has 10 entries on its in side"):
        entries_kept(10, [Member(layer="fc", side="in", repeat=4)], 3, [0])
