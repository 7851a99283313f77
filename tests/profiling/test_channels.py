"""Channels along the dimensions of tensors, against a slow and obvious follower: real numbers that name channels."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.profiling.channels import Channels, cut, join, meet, reshape
from effwidgets.records import Member


def axis(*counts):
    return tuple((Channels(count), repeat) for count, repeat in counts)


def form(found):
    return None if found is None else [(channels.root.count, repeat) for channels, repeat in found]


def test_a_flatten_repeats_each_channel():
    found = reshape([None, axis((6, 1)), None, None], (2, 6, 5, 5), (2, 150))
    assert [form(one) for one in found] == [None, [(6, 25)]]


def test_a_flatten_of_one_place_repeats_nothing():
    found = reshape([None, axis((6, 1)), None, None], (2, 6, 1, 1), (2, 6))
    assert [form(one) for one in found] == [None, [(6, 1)]]


def test_rows_that_are_merged_leave_the_last_dimension_alone():
    found = reshape([None, None, axis((8, 1))], (2, 5, 8), (10, 8))
    assert [form(one) for one in found] == [None, [(8, 1)]]


def test_a_flattened_picture_opens_again():
    held = axis((6, 25))
    found = reshape([None, held], (2, 150), (2, 6, 5, 5))
    assert [form(one) for one in found] == [None, [(6, 1)], None, None]
    assert held[0][0].obstacle is None


def test_heads_and_shuffles_bar_their_channels():
    for before, after in (((2, 5, 8), (2, 5, 2, 4)), ((2, 8, 4, 4), (2, 2, 4, 4, 4))):
        place = 2 if len(before) == 3 else 1
        held = axis((8, 1))
        axes = [None] * len(before)
        axes[place] = held
        assert reshape(axes, before, after) == [None] * len(after)
        assert "splits or mixes" in held[0][0].obstacle


def test_a_concatenation_holds_both_and_a_cut_gives_them_back():
    first, second = axis((4, 1)), axis((6, 2))
    whole = join([first, second], [4, 12])
    assert form(whole) == [(4, 1), (6, 2)]
    assert cut(whole, 0, 4) == first
    assert cut(whole, 4, 16) == second
    assert first[0][0].obstacle is None
    assert cut(whole, 2, 16) is None
    assert "slice" in first[0][0].obstacle


def test_what_no_layer_makes_keeps_its_place_in_a_concatenation():
    held = axis((4, 1))
    assert form(join([None, held], [3, 4])) == [(3, 1), (4, 1)]
    assert join([None, None], [3, 4]) is None
    assert held[0][0].obstacle is None


def test_a_sum_makes_one_set_of_two_and_keeps_members_and_obstacles():
    first, second = axis((4, 1)), axis((4, 1))
    first[0][0].add(Member(layer="a", side="out"))
    second[0][0].add(Member(layer="b", side="out"))
    second[0][0].bar("because")
    meet(first, second)
    root = first[0][0].root
    assert root is second[0][0].root
    assert [member.layer for member in root.members] == ["a", "b"]
    assert root.obstacle == "because"


def test_a_sum_of_parts_with_a_whole_bars_both():
    parts, whole = axis((2, 1), (2, 1)), axis((4, 1))
    meet(parts, whole)
    assert all(channels.root.obstacle for channels, _ in (*parts, *whole))


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(before=shapes, place=st.integers(0, 3), merge=st.integers(0, 3), split=st.integers(0, 5), data=st.data())
def test_a_reshape_never_says_something_else_than_the_numbers_do(before, place, merge, split, data):
    place %= len(before)
    count = before[place]
    sizes = _regrouped(before, merge, split, data)
    held = axis((count, 1))
    axes = [None] * len(before)
    axes[place] = held
    found = reshape(axes, before, sizes)
    # The obvious follower: every entry carries the number of its channel.
    numbers = torch.arange(count).reshape([count if dim == place else 1 for dim in range(len(before))]).expand(before)
    after = numbers.reshape(sizes)
    for dim, one in enumerate(found):
        if one is None:
            continue
        ((channels, repeat),) = one
        assert channels.root.count * repeat == sizes[dim]
        expected = (torch.arange(sizes[dim]) // repeat).reshape(
            [sizes[dim] if d == dim else 1 for d in range(len(sizes))]
        )
        assert torch.equal(after, expected.expand(sizes))
    if all(one is None for one in found) and count > 1:
        assert held[0][0].obstacle is not None


def _regrouped(before, merge, split, data):
    sizes = list(before)
    if len(sizes) > 1:
        at = merge % (len(sizes) - 1)
        sizes[at : at + 2] = [sizes[at] * sizes[at + 1]]
    at = split % len(sizes)
    divisors = [d for d in range(1, sizes[at] + 1) if sizes[at] % d == 0]
    left = data.draw(st.sampled_from(divisors))
    if data.draw(st.booleans()):
        sizes[at : at + 1] = [left, sizes[at] // left]
    return list(itertools.chain(sizes))
