"""Bytes that autograd keeps for each channel, against profiles of models that really are smaller."""

import pytest
import torch
from torch import nn

from effwidgets.profiling import ProfileOptions, profile
from effwidgets.testing.cutting import cut_out, spread
from effwidgets.testing.zoo import MODELS


def free(seen):
    return [group for group in seen.groups if group.obstacle is None and group.channels > group.blocks]


def own(seen):
    return {layer.name: layer.self_cost.saved_bytes for layer in seen.layers}


def check(found, seen, group, each):
    """Cut ``each`` channels of every block; what is kept must shrink by so many times the bytes of one, by layer."""
    build, inputs = found
    gone = spread(group, each)
    smaller = build()
    cut_out(smaller, group, gone)
    after = profile(smaller, inputs, options=ProfileOptions(train=seen.train, groups=False, backward=False))
    saved = dict(group.saved_at)
    assert seen.cost.saved_bytes - after.cost.saved_bytes == len(gone) * group.saved_bytes_each
    assert own(after) == {name: size - len(gone) * saved.get(name, 0) for name, size in own(seen).items()}


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_each_channel_of_the_zoo_keeps_as_many_bytes_as_a_smaller_model_lacks(found, train):
    seen = profile(found.build(), found.inputs(), options=ProfileOptions(train=train))
    for group in free(seen):
        check((found.build, found.inputs()), seen, group, 1 if train else group.channels // group.blocks - 1)


def test_prunings_of_several_groups_add_up():
    found = next(one for one in MODELS if one.name == "dense_concat")
    seen = profile(found.build(), found.inputs())
    smaller, expected = found.build(), seen.cost.saved_bytes
    for group in free(seen)[::-1]:  # from behind: what lies in front of others in a concatenation does not move them
        cut_out(smaller, group, [0, 2])
        expected -= 2 * group.saved_bytes_each
    assert profile(smaller, found.inputs()).cost.saved_bytes == expected


class _Dropped(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.first, self.dropout, self.last = nn.Conv2d(3, 8, 3), dropout, nn.Conv2d(8, 4, 3)

    def forward(self, x):
        return self.last(self.dropout(torch.nn.functional.silu(self.first(x)))).sum()


@pytest.mark.parametrize(
    ("kind", "setting"), [(nn.Dropout, 0.5), (nn.Dropout2d, 0.5), (nn.MaxPool2d, 2), (nn.PReLU, 8), (nn.BatchNorm2d, 8)]
)
def test_masks_of_dropout_indices_of_pools_and_statistics_are_counted(kind, setting):
    def build():
        return _Dropped(kind(setting))

    picture = torch.zeros(2, 3, 9, 9)
    seen = profile(build(), picture, options=ProfileOptions(train=True))
    (group,) = free(seen)
    check((build, picture), seen, group, 2)
    # By hand: the picture behind the first layer is kept by silu in any case.
    assert group.saved_bytes_each >= 2 * 7 * 7 * 4


def test_a_frozen_model_keeps_nothing():
    found = next(one for one in MODELS if one.name == "frozen")
    assert {group.saved_bytes_each for group in profile(found.build(), found.inputs()).groups} == {0}


def test_a_channel_of_a_perceptron_keeps_its_output_once():
    found = next(one for one in MODELS if one.name == "perceptron")
    # relu keeps its result, which the next layer keeps too: one storage, 4 rows of float32.
    assert [group.saved_bytes_each for group in free(profile(found.build(), found.inputs()))] == [16, 16]


class _Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(4, 6), nn.Linear(4, 5), nn.Linear(5, 2), nn.Linear(6, 3)

    def forward(self, x):
        both = (self.a(x)[:, :, None] * self.b(x)[:, None]).sigmoid()
        return self.d(self.c(both).transpose(1, 2))


def test_a_tensor_with_channels_along_two_dimensions_is_a_product_and_bars():
    reasons = {group.name: group.obstacle for group in profile(_Outer(), torch.zeros(3, 4)).groups}
    assert "two of its dimensions" in reasons["a"]
    assert "two of its dimensions" in reasons["b"]
