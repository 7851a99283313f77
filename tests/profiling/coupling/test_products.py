"""Products of activations: what is summed over stays, stacks go on as heads."""

import torch

from effwidgets.profiling.coupling.channels import Channels, factors
from effwidgets.profiling.coupling.products import attend, multiply
from effwidgets.profiling.coupling.steps import axes_of, set_axes


def held(shape, **channels):
    """A tensor of zeros with sets along the dimensions named d0, d1, ..."""
    tensor = torch.zeros(shape)
    set_axes(tensor, [((channels[f"d{dim}"],),) if f"d{dim}" in channels else None for dim in range(len(shape))])
    return tensor


def test_what_is_summed_over_must_stay_and_rows_and_columns_go_on():
    rows, inner, also, columns = Channels(3), Channels(4), Channels(4), Channels(5)
    out = torch.zeros(3, 5)
    multiply(held((3, 4), d0=rows, d1=inner), held((4, 5), d0=also, d1=columns), out)
    assert inner.fixed
    assert also.fixed
    assert [factors(axis) for axis in axes_of(out)] == [[rows], [columns]]
    # Their layers' numbers do not tell how much of the product would go with them.
    assert "product of activations" in str(rows.obstacle)
    assert "product of activations" in str(columns.obstacle)


def test_stacks_become_one_set_of_heads():
    mine, theirs = Channels(2), Channels(2)
    out = torch.zeros(2, 3, 5)
    multiply(held((2, 3, 4), d0=mine), held((2, 4, 5), d0=theirs), out)
    assert mine.root is theirs.root
    assert mine.root.heads
    assert mine.root.obstacle is None
    assert factors(axes_of(out)[0]) == [mine.root]


def test_the_width_of_a_head_stays():
    width = Channels(5, digit=True)
    out = torch.zeros(2, 3, 5)
    multiply(held((2, 3, 4), d0=Channels(2)), held((2, 4, 5), d0=Channels(2), d2=width), out)
    assert width.obstacle == "it is the width of an attention head"
    assert axes_of(out)[2] is None


def test_a_stack_on_one_side_alone_bars():
    mine = Channels(2)
    multiply(held((2, 3, 4), d0=mine), torch.zeros(2, 4, 5), torch.zeros(2, 3, 5))
    assert "product of activations" in mine.obstacle


def test_fused_attention_ties_heads_and_shares_keys():
    query, key, value = Channels(6), Channels(2), Channels(2)
    tensors = held((1, 6, 3, 4), d1=query), held((1, 2, 3, 4), d1=key), held((1, 2, 3, 4), d1=value)
    out = torch.zeros(1, 6, 3, 4), torch.zeros(1, 6, 3)
    attend(tensors, {}, out)
    shared, each = factors(((query,),))
    assert key.root is value.root is shared
    assert (shared.count, shared.obstacle, each.fixed) == (2, None, True)
    assert factors(axes_of(out[1])[1])[0] is shared  # the logarithms that are kept for the backward


def test_a_mask_with_a_plane_for_each_head_bars():
    heads = Channels(4)
    tensors = [held((1, 4, 3, 2), d1=heads) for _ in range(3)]
    attend((*tensors, torch.zeros(1, 4, 3, 3)), {}, torch.zeros(1, 4, 3, 2))
    assert "one plane for each head" in heads.obstacle
    heads = Channels(4)
    tensors = [held((1, 4, 3, 2), d1=heads) for _ in range(3)]
    attend((*tensors, torch.zeros(1, 1, 3, 3)), {}, torch.zeros(1, 4, 3, 2))
    assert heads.obstacle is None
