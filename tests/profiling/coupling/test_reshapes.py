"""Channels through reshapes, against a slow and obvious follower: real numbers that name channels."""

from math import prod

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.profiling.coupling.channels import Channels, factors, settle
from effwidgets.profiling.coupling.joins import join
from effwidgets.profiling.coupling.reshapes import reshape


def axis(*parts):
    return tuple((Channels(count), *inner) for count, *inner in parts)


def form(found):
    return None if found is None else [tuple(getattr(f, "count", f) for f in part) for part in settle(found)]


def test_a_flatten_repeats_each_channel():
    found = reshape([None, axis((6,)), None, None], (2, 6, 5, 5), (2, 150))
    assert [form(one) for one in found] == [None, [(6, 5, 5)]]


def test_rows_that_are_merged_leave_the_last_dimension_alone():
    found = reshape([None, None, axis((8,))], (2, 5, 8), (10, 8))
    assert [form(one) for one in found] == [None, [(8,)]]


def test_a_flattened_picture_opens_again():
    held = axis((6, 25))
    found = reshape([None, held], (2, 150), (2, 6, 5, 5))
    assert [form(one) for one in found] == [None, [(6,)], None, None]
    assert held[0][0].obstacle is None


def test_flattened_pictures_behind_one_another_open_again():
    held = join([axis((4, 9)), axis((2, 9))], [36, 18])
    found = reshape([None, held], (2, 54), (2, 6, 3, 3))
    assert [form(one) for one in found] == [None, [(4,), (2,)], None, None]


def test_a_fused_projection_becomes_three_times_heads_times_width():
    held = axis((96,))
    found = reshape([None, None, held], (2, 5, 96), (2, 5, 3, 4, 8), ("attn",))
    assert [form(one) for one in found] == [None, None, [(3,)], [(4,)], [(8,)]]
    assert form(held) == [(3, 4, 8)]
    assert all(channels.digit and list(channels.soft) == ["attn"] for channels in factors(held))


def test_a_shuffle_turns_the_product_round():
    held = axis((8,))
    opened = reshape([None, held], (2, 8), (2, 2, 4))
    (turned,) = reshape([opened[2], opened[1]], (4, 2), (8,))
    assert form(turned) == [(4, 2)]
    assert factors(turned) == factors(held)[::-1]


def test_equal_runs_that_are_laid_side_by_side_go_together():
    first, second = axis((4,)), axis((4,))
    found = reshape([None, join([first, second], [4, 4])], (2, 8), (2, 2, 4))
    assert [form(one) for one in found] == [None, None, [(4,)]]
    assert factors(first) == factors(second) == factors(found[2])


def test_sizes_that_do_not_divide_bar():
    held = axis((6,))
    assert reshape([None, held], (4, 6), (8, 3)) == [None, None] or held[0][0].parts is not None
    odd = axis((6,))
    assert reshape([odd, None], (6, 4), (4, 6)) == [None, None]
    assert "splits or mixes" in factors(odd)[0].obstacle


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_what_is_followed_is_what_the_numbers_do(data):
    """Any chain of reshapes and permutations of a dimension of channels among others."""
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    place = data.draw(st.integers(0, len(sizes) - 1))
    count = data.draw(st.sampled_from([2, 4, 6, 8, 12]))
    sizes[place] = count
    channels = Channels(count)
    axes = [((channels,),) if dim == place else None for dim in range(len(sizes))]
    numbers = torch.arange(count).reshape([count if dim == place else 1 for dim in range(len(sizes))]).expand(sizes)
    for _ in range(data.draw(st.integers(1, 3))):
        order = data.draw(st.permutations(range(numbers.dim())))
        numbers, axes = numbers.permute(order), [axes[dim] for dim in order]
        after = data.draw(st.sampled_from(_regroupings(numbers.shape)))
        axes = reshape(axes, numbers.shape, after)
        numbers = numbers.reshape(after)
    _check(channels, axes, numbers)


def _check(channels, axes, numbers):
    digits = _digits(settle(((channels,),))[0], numbers)
    shown = {}
    for dim, one in enumerate(axes):
        if one is not None:
            ((segment),) = settle(one)
            assert prod(getattr(f, "count", f) for f in segment) == numbers.shape[dim]
            along = torch.arange(numbers.shape[dim]).reshape([-1 if d == dim else 1 for d in range(numbers.dim())])
            for factor, digit in _digits(segment, along).items():
                assert factor not in shown
                shown[factor] = digit.expand(numbers.shape)
    for factor, digit in digits.items():
        if factor.obstacle is None and factor.count > 1:
            assert torch.equal(shown[factor], digit)


def _digits(segment, numbers):
    """By set: the number that each entry has in it, when the entries of a segment are counted through."""
    found, rest = {}, numbers
    for factor in reversed(segment):
        size = getattr(factor, "count", factor)
        if not isinstance(factor, int):
            found[factor] = rest % size
        rest = rest // size
    return found


def _regroupings(shape):
    """Shapes with the same entries: two dimensions merged, or one taken apart."""
    shape = tuple(shape)
    found = [shape]
    found += [(*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]) for at in range(len(shape) - 1)]
    found += [
        (*shape[:at], left, size // left, *shape[at + 1 :])
        for at, size in enumerate(shape)
        for left in range(1, size + 1)
        if size % left == 0
    ]
    total = prod(shape)
    found += [(left, total // left) for left in range(1, total + 1) if total % left == 0]
    return found
