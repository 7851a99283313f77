"""Which entries of a side stay when channels go, and what is left of the tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Group, Member
from effwidgets.transforms.prune.channels import axes_of, cut_layer, entries_kept, fill_layer, sides, weight_mask


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


def from_each(data: st.DataObject, blocks: int, each: int) -> tuple[int, ...]:
    """So many from each block, others in each."""
    count = data.draw(st.integers(1, each))
    return tuple(
        sorted(
            block * each + place for block in range(blocks) for place in data.draw(st.permutations(range(each)))[:count]
        )
    )


@settings(deadline=None)  # the first convolution takes longer
@given(st.data())
@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d])
def test_a_convolution_in_groups_that_is_cut_does_what_the_whole_one_does_with_zeros_in(kind, data):
    """The slow way: run the whole convolution on inputs that are zero where they go, and drop outputs."""
    blocks, each_in, each_out = (data.draw(st.integers(low, 3)) for low in (2, 2, 1))
    size_in, size_out = blocks * each_in, blocks * each_out
    torch.manual_seed(0)
    whole, small = (kind(size_in, size_out, 2, groups=blocks, dtype=torch.float64) for _ in range(2))
    cut = {"in": from_each(data, blocks, each_in), "out": from_each(data, blocks, each_out)}
    axes = axes_of(kind.__name__, blocks, size_in, size_out)
    cut_layer(axes, small, cut)
    fill_layer(axes, small, whole, cut)
    shape = (2, size_in, *([5] * (whole.weight.dim() - 2)))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    silent = torch.zeros_like(x)
    silent[:, list(cut["in"])] = x[:, list(cut["in"])]
    assert (small.in_channels, small.out_channels, small.groups) == (len(cut["in"]), len(cut["out"]), blocks)
    # The same sums without the zeros: double precision rounds some 1e-16 of numbers about 1.
    assert torch.allclose(small(x[:, list(cut["in"])]), whole(silent)[:, list(cut["out"])], atol=1e-12)
    whole.weight = nn.Parameter(whole.weight * weight_mask(axes, whole.weight, {"in": cut["in"]}))
    assert torch.allclose(whole(x)[:, list(cut["out"])], small(x[:, list(cut["in"])]), atol=1e-12)


@pytest.mark.parametrize("times", [1, 2])
def test_a_depthwise_convolution_keeps_the_filters_of_each_channel(times):
    whole, small = (nn.Conv2d(4, 4 * times, 3, groups=4) for _ in range(2))
    axes = axes_of("Conv2d", 4, 4, 4 * times)
    members = (Member(layer="c", side="in"), Member(layer="c", side="out", repeat=times))
    (found,) = sides(Group(name="x", channels=4, members=members), {"c": axes}).items()
    assert found == (("c", "out"), members[1:])
    entries = entries_kept(4 * times, found[1], 4, [1, 3])
    cut_layer(axes, small, {"out": entries})
    fill_layer(axes, small, whole, {"out": entries})
    assert (small.in_channels, small.groups, small.out_channels) == (2, 2, 2 * times)
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    kept = whole(x).unflatten(1, (4, times))[:, [1, 3]].flatten(1, 2)
    assert torch.allclose(small(x[:, [1, 3]]), kept, atol=1e-6)  # nine products of float32


def test_kinds_that_mix_channels_have_no_axes():
    for kind in ("LSTM", "LocalResponseNorm", "GroupNorm", "ParametrizedLinear"):
        assert axes_of(kind, 1, 0, 0) is None
