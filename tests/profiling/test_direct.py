"""What is asked of a meta kernel at once is what the real kernel does."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from effwidgets.profiling.direct import directly, runs_directly
from effwidgets.profiling.fakes import Fakes
from effwidgets.profiling.shadow import Faker

aten = torch.ops.aten
ROWS = torch.zeros(2, 3, 4)
IMAGE = torch.zeros(1, 6, 4, 4).to(memory_format=torch.channels_last)
TURNED = torch.zeros(4, 3, 2).transpose(0, 2)

CASES = {
    "a view": (aten.view.default, (ROWS, [6, 4])),
    "a view of one picture": (aten.view.default, (IMAGE.permute(0, 2, 3, 1), [1, 16, 6])),
    "a view that keeps a size of one": (aten.view.default, (torch.zeros(1, 8, 4)[:, 2:], [1, 6, 2, 2])),
    "a transposition": (aten.t.default, (torch.zeros(3, 5),)),
    "a permutation": (aten.permute.default, (IMAGE, [0, 2, 3, 1])),
    "an expansion": (aten.expand.default, (torch.zeros(1, 3, 1), [4, 3, 5])),
    "a part": (aten.slice.Tensor, (ROWS, 1, 1, 3)),
    "one of many": (aten.select.int, (TURNED, 1, 2)),
    "parts": (aten.split.Tensor, (ROWS, 2, 2)),
    "all rows": (aten.unbind.int, (ROWS, 1)),
    "a new size": (aten.unsqueeze.default, (TURNED, 1)),
    "another step": (aten.as_strided.default, (ROWS, [2, 2], [4, 1], 3)),
    "a product": (aten.mm.default, (torch.zeros(3, 4), torch.zeros(5, 4).t())),
    "a product and a sum": (aten.addmm.default, (torch.zeros(5), torch.zeros(3, 4), torch.zeros(4, 5))),
    "products": (aten.bmm.default, (ROWS, ROWS.transpose(1, 2))),
    "products of half precision": (aten.bmm.default, (ROWS.bfloat16(), ROWS.transpose(1, 2).bfloat16())),
}


def laid_out(out):
    return [
        (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype, tensor.device, tensor.is_contiguous())
        for tensor in ([out] if isinstance(out, torch.Tensor) else out)
    ]


@pytest.mark.parametrize("case", CASES)
def test_it_lays_out_what_the_real_kernel_lays_out(case):
    func, args = CASES[case]
    assert runs_directly(func)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    faker = Faker(mode)
    fake = [faker(value) if isinstance(value, torch.Tensor) else value for value in args]
    found = directly(Fakes(mode), func, fake, {})
    real = func(*args)
    assert laid_out(found) == laid_out(real)
    assert type(found) is type(real) or isinstance(found, torch.Tensor)
    first = found if isinstance(found, torch.Tensor) else found[0]
    shares = first.untyped_storage()._cdata == fake[0].untyped_storage()._cdata
    assert shares == func.is_view


@pytest.mark.parametrize("func", [aten.relu.default, aten.t_.default, aten.mm.out, aten.convolution.default])
def test_what_has_more_to_say_goes_the_long_way(func):
    assert not runs_directly(func)


def test_shapes_that_do_not_meet_are_refused():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    faker = Faker(mode)
    with pytest.raises(RuntimeError, match="reduction dim"):
        directly(Fakes(mode), aten.mm.default, [faker(torch.zeros(3, 4)), faker(torch.zeros(3, 4))], {})
