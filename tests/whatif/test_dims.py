"""Which sizes of which inputs follow; and what cannot be known is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.whatif.dims import dims_given, dims_of, places_of

PLAIN = nn.Identity()


def floats(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def tokens(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


def mask(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


def found(axis: str, *args: object, model: nn.Module = PLAIN, **kwargs: object) -> dict[str, tuple[int, ...]]:
    return dict(dims_of(axis, places_of(Call(args, kwargs)), model).dims)


def test_tensors_are_named_by_the_way_to_them():
    call = Call(([floats(1), {"a": floats(2)}],), {"ids": floats(3), "rest": (1, None, floats(4))})
    assert [place.path for place in places_of(call)] == ["0.0", "0.1.a", "ids", "rest.2"]


def test_the_batch_is_the_first_size_of_all_that_share_it():
    assert found("batch", floats(4, 3, 8, 8), target=tokens(4), weight=floats(8, 8)) == {"0": (0,), "target": (0,)}
    assert found("batch", ids=tokens(2, 9), mask=mask(2, 1, 9, 9), places=tokens(1, 9)) == {"ids": (0,), "mask": (0,)}


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"ids": tokens(4, 4), "mask": floats(4, 4)}, "mask"),
        ({"ids": tokens(4, 4), "places": tokens(4)}, "places"),
        ({"x": floats(3, 7, 5), "state": floats(2, 3, 6)}, "state"),
    ],
)
def test_a_tensor_that_may_or_may_not_share_the_batch_is_asked_for(inputs, named):
    with pytest.raises(InputError, match=f"It is not clear what {named} .*dims="):
        found("batch", **inputs)


def test_pictures_follow_in_both_sides_with_the_masks_that_share_them():
    assert found("resolution", floats(1, 3, 32, 48), pixel_mask=tokens(1, 32, 48)) == {
        "0": (2, 3),
        "pixel_mask": (1, 2),
    }
    assert found("resolution", floats(1, 3, 8, 32, 32)) == {"0": (2, 3, 4)}
    assert dims_of("resolution", places_of(Call((floats(1, 3, 32, 48),))), PLAIN).reference == 32


def test_two_pictures_of_different_size_and_none_at_all_are_asked_for():
    with pytest.raises(InputError, match="a picture of another size"):
        found("resolution", floats(1, 3, 32, 32), floats(1, 3, 64, 64))
    with pytest.raises(InputError, match="no picture"):
        found("resolution", floats(1, 3))


def test_a_mask_of_four_sizes_is_no_picture():
    inputs = {"pixels": floats(2, 3, 32, 32), "ids": tokens(2, 9), "mask": floats(2, 1, 9, 9)}
    assert found("resolution", **inputs) == {"pixels": (2, 3)}
    assert found("sequence", **inputs) == {"ids": (1,), "mask": (2, 3)}


def test_the_length_is_shared_by_masks_of_every_rank():
    assert found(
        "sequence",
        ids=tokens(2, 9),
        padding=mask(2, 9),
        square=floats(9, 9),
        three=mask(2, 9, 9),
        four=floats(2, 1, 9, 9),
        keys=mask(2, 1, 1, 9),
        places=tokens(9),
        row=tokens(1, 9),
        label=tokens(2),
    ) == {
        "ids": (1,),
        "padding": (1,),
        "square": (0, 1),
        "three": (1, 2),
        "four": (2, 3),
        "keys": (3,),
        "places": (0,),
        "row": (1,),
    }
    assert found("sequence", floats(2, 9, 16), memory=floats(2, 5, 16)) == {"0": (1,)}


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"ids": tokens(2, 9), "decoder_ids": tokens(2, 5)}, "decoder_ids"),
        ({"ids": tokens(9, 9), "mask": floats(9, 9)}, "mask"),
        ({"x": floats(2, 9, 4), "other": floats(2, 9, 9)}, "other"),
        ({"ids": tokens(2, 9), "lengths": torch.tensor([9, 4])}, "lengths"),
    ],
)
def test_a_length_that_may_be_another_is_asked_for(inputs, named):
    with pytest.raises(InputError, match=f"It is not clear what {named}"):
        found("sequence", **inputs)


def test_no_tokens_at_all_are_asked_for():
    with pytest.raises(InputError, match="no tokens"):
        found("sequence", floats(2, 9))


def test_a_layer_that_wants_the_time_first_is_asked_about_and_one_that_is_the_model_is_known():
    inside = nn.ModuleDict({"rnn": nn.LSTM(4, 8)})
    with pytest.raises(InputError, match="layer 'rnn' \\(LSTM\\) has batch_first=False"):
        found("batch", floats(7, 2, 4), model=inside)
    assert found("batch", floats(7, 2, 4), model=nn.ModuleDict({"rnn": nn.LSTM(4, 8, batch_first=True)})) == {"0": (0,)}
    state = (floats(1, 2, 8), floats(1, 2, 8))
    assert found("batch", floats(7, 2, 4), state, model=nn.LSTM(4, 8)) == {"0": (1,), "1.0": (1,), "1.1": (1,)}
    assert found("sequence", floats(7, 2, 4), model=nn.LSTM(4, 8)) == {"0": (0,)}


def test_what_the_caller_says_is_checked():
    places = places_of(Call((floats(2, 3, 8),), {"ids": tokens(2, 5)}))
    assert dims_given({0: (-1, 1)}, places).dims == {"0": (2, 1)}
    assert dims_given({"ids": 1}, places).reference == 5
    with pytest.raises(UnknownNameError, match="Did you mean 'ids'"):
        dims_given({"idz": 1}, places)
    for wrong in ({"ids": 2}, {"ids": "1"}, {"ids": True}):
        with pytest.raises(InputError, match="has no size"):
            dims_given(wrong, places)
    for wrong in ({}, 3):
        with pytest.raises(InputError, match="a mapping was expected"):
            dims_given(wrong, places)


def test_a_size_that_is_named_twice_follows_once():
    places = places_of(Call((floats(2, 3),)))
    assert dims_given({0: (1, -1)}, places).dims == {"0": (1,)}


def test_sizes_of_nothing_are_refused_as_they_are_where_they_are_found():
    places = places_of(Call((floats(0, 3), floats(4))))
    with pytest.raises(InputError, match=r"Size 0 of input 0 .* is 0"):
        dims_given({0: 0, 1: 0}, places)
    with pytest.raises(InputError, match="dims names no size of input 1"):
        dims_given({1: ()}, places)


def test_an_empty_batch_is_refused():
    with pytest.raises(InputError, match="is 0"):
        found("batch", floats(0, 3))
    with pytest.raises(InputError, match="no tensor"):
        found("batch", 3)
