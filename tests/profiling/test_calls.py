"""What a model is called with."""

import collections
import dataclasses
import typing

import pytest
import torch

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, as_call, batch_of, map_tensors, run, shapes_of, tensors_in


def test_a_tensor_is_one_positional_argument():
    x = torch.zeros(2, 3)
    assert as_call(x).args == (x,)


def test_a_tuple_and_a_list_are_positional_arguments():
    x = torch.zeros(2, 3)
    assert as_call((x, None)).args == (x, None)
    assert as_call([x, 4]).args == (x, 4)


def test_a_mapping_is_keyword_arguments_whatever_its_class():
    x = torch.zeros(2, 3)
    for mapping in ({"x": x}, collections.UserDict(x=x), collections.OrderedDict(x=x)):
        call = as_call(mapping)
        assert call.args == ()
        assert dict(call.kwargs) == {"x": x}


def test_a_call_stays_itself():
    call = Call((1,), {"a": 2})
    assert as_call(call) is call


@pytest.mark.parametrize("wrong", [3, "text", None])
def test_other_things_are_refused_with_what_is_expected(wrong):
    with pytest.raises(InputError, match=f"{type(wrong).__name__}.*tuple of positional"):
        as_call(wrong)


def test_an_array_is_refused_with_the_way_to_turn_it():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InputError, match="as_tensor"):
        as_call(numpy.zeros(3))


def test_a_mapping_with_other_keys_than_names_is_refused():
    with pytest.raises(InputError, match=r"key 3.*\(inputs,\)"):
        as_call({3: torch.zeros(1)})


def test_shapes_are_found_in_nested_values_and_in_order():
    @dataclasses.dataclass
    class Out:
        first: torch.Tensor
        rest: dict

    out = Out(torch.zeros(1), {"a": [torch.zeros(2), "x"], "b": (torch.zeros(3, 1),)})
    assert shapes_of(out) == ((1,), (2,), (3, 1))
    assert len(list(tensors_in(Call((out,), {"more": torch.zeros(4)})))) == 4


def test_the_batch_is_the_first_size_of_the_first_tensor_that_has_one():
    assert batch_of(Call((None, torch.tensor(3.0), torch.zeros(7, 2)))) == 7
    assert batch_of(Call((1,))) is None


def test_tensors_are_replaced_and_other_things_stay_with_their_classes():
    class Pair(typing.NamedTuple):
        a: object
        b: object

    value = Pair(torch.zeros(1), [torch.zeros(2), {"k": torch.zeros(3), "n": None}])
    changed = map_tensors(value, lambda tensor: tensor + 1)
    assert type(changed) is Pair
    assert [tensor.sum().item() for tensor in tensors_in(changed)] == [1, 2, 3]
    assert changed.b[1]["n"] is None


def test_run_hands_over_both_kinds_of_arguments():
    class Scale(torch.nn.Module):
        def forward(self, x, *, by):
            return x * by

    assert run(Scale(), Call((torch.ones(1),), {"by": 3})).item() == 3
