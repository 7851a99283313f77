"""What stands in for a fake kernel returns what the real one does."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from effwidgets.profiling.standins import BY_VALUES, STAND_INS
from effwidgets.profiling.values import Values, keep_value

aten = torch.ops.aten


@pytest.fixture
def mode():
    return FakeTensorMode(allow_non_fake_inputs=True)


def faked(mode, real):
    fake = mode.from_tensor(real, static_shapes=True)
    keep_value(fake, real)
    return fake


def stand_in(mode, func, *args):
    args = tuple(
        [faked(mode, item) if isinstance(item, torch.Tensor) else item for item in arg]
        if isinstance(arg, list)
        else faked(mode, arg)
        if isinstance(arg, torch.Tensor)
        else arg
        for arg in args
    )
    with mode:
        return STAND_INS[func](Values(mode), args, {})


def looks(tensor):
    return tensor.shape, tensor.stride(), tensor.dtype


def ends(*places):
    return torch.tensor(places, dtype=torch.int32)


grouped = aten._grouped_mm.default
GROUPED = {
    "rows of all experts": ((6, 16), (2, 16, 8), ends(2, 6)),
    "columns of all experts": ((2, 8, 16), (16, 8), ends(4, 8)),
    "what is summed over": ((8, 24), (24, 16), ends(8, 24)),
    "a batch": ((2, 6, 16), (2, 16, 8), None),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", GROUPED)
def test_a_grouped_product_is_made_like_the_real_one(mode, case, dtype):
    first, second, offs = GROUPED[case]
    args = (torch.zeros(first, dtype=dtype), torch.zeros(second, dtype=dtype), offs)
    assert looks(stand_in(mode, grouped, *args)) == looks(grouped(*args))


def test_its_rows_begin_at_sixteen_bytes(mode):
    # The columns of the second lie one after the other, so an odd number of them is allowed.
    args = (torch.zeros(6, 16), torch.zeros(2, 5, 16).mT, ends(2, 6))
    assert looks(stand_in(mode, grouped, *args)) == looks(grouped(*args))


def test_widths_that_do_not_meet_are_refused_as_by_the_real_one(mode):
    args = (torch.zeros(6, 16), torch.zeros(2, 8, 8), ends(2, 6))
    with pytest.raises(RuntimeError, match="contraction dimension"):
        stand_in(mode, grouped, *args)
    with pytest.raises(RuntimeError, match="contraction dimension"):
        grouped(*args)


MASK = torch.tensor([True, False, True, True])
MASKED = {
    "rows": [MASK],
    "columns": [None, torch.tensor([True, False, True])],
    "entries": [MASK[:, None].expand(4, 3).clone()],
    "rows and one place of each": [MASK, torch.tensor([0, 1, 2])],
    "none at all": [torch.zeros(4, dtype=torch.bool)],
}


@pytest.mark.parametrize("case", MASKED)
def test_a_mask_takes_as_many_as_the_real_one(mode, case):
    args = (torch.zeros(4, 3, 2), MASKED[case])
    assert looks(stand_in(mode, aten.index.Tensor, *args)) == looks(aten.index.Tensor(*args))


def test_a_selected_mask_takes_as_many_as_the_real_one(mode):
    args = (torch.zeros(4, 3), MASK[:, None])
    func = aten.masked_select.default
    assert looks(stand_in(mode, func, *args)) == looks(func(*args))


def test_places_that_are_numbers_are_left_to_torch(mode):
    assert stand_in(mode, aten.index.Tensor, torch.zeros(4), [torch.tensor([1, 2])]) is NotImplemented


def test_a_mask_of_which_nothing_is_known_is_left_to_torch(mode):
    source, mask = mode.from_tensor(torch.zeros(4)), mode.from_tensor(MASK)
    with mode:
        values = Values(mode)
        assert STAND_INS[aten.index.Tensor](values, (source, [mask]), {}) is NotImplemented
        assert STAND_INS[aten.masked_select.default](values, (source, mask), {}) is NotImplemented
        pack = STAND_INS[aten._pack_padded_sequence.default]
        assert pack(values, (source[:, None], mode.from_tensor(torch.tensor([4])), False), {}) is NotImplemented


@pytest.mark.parametrize("batch_first", [True, False])
def test_sequences_are_packed_as_the_real_ones(mode, batch_first):
    args = (torch.zeros(3, 4, 5) if batch_first else torch.zeros(4, 3, 5), torch.tensor([4, 2, 1]), batch_first)
    func = aten._pack_padded_sequence.default
    made, real = stand_in(mode, func, *args), func(*args)
    assert looks(made[0]) == looks(real[0])
    assert made[1].tolist() == real[1].tolist() == [3, 2, 1, 1]


def test_sequences_are_packed_whatever_the_default_device_of_the_caller_is(mode):
    args = torch.zeros(4, 3, 5), torch.tensor([4, 2, 1]), False
    with torch.device("xpu"):  # one that is not there refuses what is made on it
        made = stand_in(mode, aten._pack_padded_sequence.default, *args)
    assert made[1].tolist() == [3, 2, 1, 1]


def test_what_values_decide_is_marked():
    assert {aten.index.Tensor, aten.masked_select.default, aten._pack_padded_sequence.default} == BY_VALUES


LAYOUTS = {
    "rows": torch.zeros(4, 3),
    "turned rows": torch.zeros(3, 4).t(),
    "signals": torch.zeros(2, 3, 7),
    "turned signals": torch.zeros(2, 7, 3).transpose(1, 2),
    "one signal of one": torch.zeros(1, 1, 3).transpose(1, 2),
    "pictures": torch.zeros(2, 3, 4, 5),
    "pictures, channels last": torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "turned pictures": torch.zeros(2, 3, 5, 4).transpose(2, 3),
    "part of pictures": torch.zeros(2, 3, 4, 9)[..., ::2],
    "volumes": torch.zeros(2, 3, 2, 4, 5),
    "volumes, channels last": torch.zeros(2, 3, 2, 4, 5).to(memory_format=torch.channels_last_3d),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_norm_returns_what_the_real_kernel_returns(layout, train):
    given = LAYOUTS[layout]
    stats = torch.zeros(3), torch.ones(3)
    args = (given, torch.ones(3), torch.zeros(3), *stats, train, 0.1, 1e-5)
    real = torch.ops.aten.native_batch_norm(*args)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    stand_in = STAND_INS[torch.ops.aten.native_batch_norm.default]
    with mode:
        found = stand_in(
            Values(mode), tuple(mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in args), {}
        )
    assert [(t.shape, t.stride(), t.dtype) for t in found] == [(t.shape, t.stride(), t.dtype) for t in real]
