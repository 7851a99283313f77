from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from effwidgets.profiling.copies import Copier, copy_tensor

BASE = torch.arange(24.0).reshape(2, 3, 4)
LAYOUTS = {
    "plain": BASE,
    "transposed": BASE.transpose(0, 2),
    "every second": BASE[..., ::2],
    "a column": BASE[:, 1:2, 1],
    "expanded": BASE[:1, :, :1].expand(5, 3, 7),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 3),
    "whole numbers": torch.arange(6).reshape(2, 3).T,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_copy_has_the_values_and_strides_of_the_tensor_and_a_memory_of_its_own(name):
    tensor = LAYOUTS[name]
    twin = copy_tensor(tensor)
    assert torch.equal(twin, tensor)
    assert (twin.stride(), twin.dtype) == (tensor.stride(), tensor.dtype)
    assert twin.numel() == 0 or twin.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()


def test_a_small_view_of_something_large_does_not_copy_all_of_it():
    twin = copy_tensor(torch.zeros(1000, 1000)[:, 0])
    assert twin.untyped_storage().nbytes() == 4 * 1000


def test_what_is_one_object_stays_one_object():
    x = torch.ones(2)
    (query, key), names = Copier(nn.Identity())(((x, x), {"value": [x, None, 3]}))
    assert query is key is names["value"][0]
    assert query is not x
    assert names["value"][1:] == [None, 3]


def test_modules_and_parameters_are_handed_on_and_other_objects_are_copied_with_their_tensors():
    class Cache:
        def __init__(self, keys, owner):
            self.keys, self.owner = [keys], owner

    model = nn.Linear(2, 2)
    cache = Cache(torch.ones(2), model)
    twin, weight = Copier(model)((cache, model.weight))
    assert twin is not cache
    assert twin.keys[0] is not cache.keys[0]
    assert twin.owner is model
    assert weight is model.weight


def test_tensors_with_a_history_inside_of_an_object_are_copied_without_it():
    class Cache:
        def __init__(self, keys):
            self.keys = keys

    keys = torch.ones(2, requires_grad=True) * 2
    twin = Copier(nn.Identity())(Cache(keys))
    assert torch.equal(twin.keys, keys)
    assert not twin.keys.requires_grad
    first, second = Copier(nn.Identity())((keys, Cache(keys)))
    assert first is second.keys


def test_packed_sequences_and_namedtuples_keep_their_kind():
    packed = pack_sequence([torch.rand(4, 2), torch.rand(3, 2)])
    twin = Copier(nn.Identity())(packed)
    assert type(twin) is type(packed)
    assert torch.equal(twin.data, packed.data)
    assert twin.data is not packed.data
    assert torch.equal(twin.batch_sizes, packed.batch_sizes)
