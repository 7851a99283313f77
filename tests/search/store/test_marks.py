"""What tells one dense model from another."""

from __future__ import annotations

import copy

import torch
from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.search.store.marks import call_mark, model_mark


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_a_copy_has_the_same_mark_and_one_changed_number_another():
    model = net()
    other = copy.deepcopy(model)
    assert model_mark(other) == model_mark(model)
    with torch.no_grad():
        other[1].running_mean[2] += 1e-6
    mark = model_mark(other)
    assert (mark.structure == model_mark(model).structure, mark.values == model_mark(model).values) == (True, False)


def test_another_shape_or_dtype_or_class_is_another_structure():
    marks = {
        model_mark(model).structure
        for model in (net(), net().double(), nn.Sequential(nn.Linear(4, 3)), nn.ModuleList([nn.Linear(4, 3)]))
    }
    assert len(marks) == 4


def test_what_a_transposed_tensor_holds_counts_and_not_how_it_lies():
    a, b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        a.weight.copy_(torch.arange(9.0).reshape(3, 3))
    b.weight = nn.Parameter(torch.arange(9.0).reshape(3, 3).t().contiguous().t())
    assert not b.weight.is_contiguous()
    assert model_mark(a).values == model_mark(b).values


def test_empty_scalar_and_half_precision_tensors_have_marks_too():
    model = nn.Module()
    model.register_buffer("empty", torch.empty(0))
    model.register_buffer("scalar", torch.tensor(3))
    model.register_buffer("brief", torch.ones(2, dtype=torch.bfloat16))
    assert model_mark(model) == model_mark(copy.deepcopy(model))


def test_the_mark_of_a_call_is_of_shapes_dtypes_and_plain_values():
    x = torch.zeros(2, 3)
    same = [Call((x,), {"scale": 2.0}), Call((x + 1,), {"scale": 2.0})]
    others = [
        Call((x,), {"scale": 3.0}),
        Call((x.long(),), {"scale": 2.0}),
        Call((x[:1],), {"scale": 2.0}),
        Call(((x, None),), {"scale": 2.0}),
        Call((), {"x": x, "scale": 2.0}),
    ]
    assert len({call_mark(call) for call in same}) == 1
    assert len({call_mark(call) for call in [same[0], *others]}) == 6
