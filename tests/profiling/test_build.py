"""Models built on meta: the same sizes, no memory, and the way there."""

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling import ProfileOptions, profile
from effwidgets.profiling.build import on_meta
from effwidgets.testing import zoo

QUICK = ProfileOptions(groups=False)


class Reading(nn.Module):
    """A builder that reads what it made: schedules, sizes, masks."""

    def __init__(self):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.3, 4)]
        self.halves = [half.tolist() for half in torch.linspace(0, 0.3, 4).split(2)]
        self.width = int(torch.tensor([1, 8, 3]).max())
        angles = torch.arange(20).unsqueeze(1) * torch.exp(torch.arange(0, 8, 2) * -0.5)
        table = torch.zeros(20, 8)
        table[:, 0::2] = torch.sin(angles)
        table[:, 1::2] = torch.cos(angles)
        self.total = float(table.sum())
        order = torch.zeros(4, dtype=torch.long)
        order[0] = 3
        self.order = order.tolist()
        self.hidden = bool(torch.triu(torch.full((4, 4), float("-inf")), 1).isinf().any())
        self.array = torch.linspace(0, 1, 3, dtype=torch.float64).numpy().sum().item()
        self.register_buffer("table", table)
        self.register_buffer("positions", torch.arange(10)[None])
        self.register_buffer("mask", torch.tril(torch.ones(6, 6)).bool())
        self.register_buffer("given", torch.from_numpy(np.arange(5)))
        self.layer = nn.Linear(8, self.width)
        nn.init.trunc_normal_(self.layer.weight)

    def forward(self, x):
        return self.layer(x + self.table[: x.shape[0]])


READ = ("rates", "halves", "width", "total", "order", "hidden", "array")


def test_a_builder_reads_on_meta_what_it_would_read_anywhere():
    real, built = Reading(), on_meta(Reading)
    assert {name: getattr(built, name) for name in READ} == {name: getattr(real, name) for name in READ}
    assert {tensor.device.type for tensor in (*built.parameters(), *built.buffers())} == {"meta"}


def test_names_shapes_and_dtypes_are_those_of_the_real_model():
    def looks(model):
        return {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}

    assert looks(on_meta(Reading)) == looks(Reading())


# Without numbers nobody knows which layer the branch takes.
@pytest.mark.parametrize("specimen", [s for s in zoo.MODELS if s.name != "branch"], ids=lambda specimen: specimen.name)
def test_the_profile_of_a_model_is_the_same_on_meta(specimen):
    real = profile(specimen.build(), specimen.inputs(), options=QUICK)
    assert profile(on_meta(specimen.build), specimen.inputs(), options=QUICK).cost == real.cost


def test_a_wanted_dtype_is_that_of_tensors_without_one_of_their_own():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.register_buffer("plain", torch.ones(3))
            self.register_buffer("filled", torch.full((3,), 0.5))
            self.register_buffer("stated", torch.ones(3, dtype=torch.float32))
            self.register_buffer("frequencies", torch.arange(4).float())
            self.register_buffer("counts", torch.arange(4))
            self.register_buffer("array", torch.tensor(np.zeros(3, dtype=np.float32)))

    before = torch.get_default_dtype()
    try:  # what torch does with another default is the truth
        torch.set_default_dtype(torch.bfloat16)
        wanted = {name: tensor.dtype for name, tensor in Mixed().state_dict().items()}
    finally:
        torch.set_default_dtype(before)
    built = on_meta(Mixed, dtype=torch.bfloat16)
    assert {name: tensor.dtype for name, tensor in built.state_dict().items()} == wanted
    assert wanted["plain"] == torch.bfloat16 != wanted["frequencies"]


def test_nothing_is_left_behind():
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    on_meta(Reading, dtype=torch.bfloat16)
    with pytest.raises(ModelError):
        on_meta(lambda: nn.Linear("wide", 4), dtype=torch.bfloat16)
    assert torch.get_default_dtype() is torch.float32
    assert torch.empty(1).device.type == "cpu"
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state


def test_another_thread_notices_nothing():
    inside, seen = threading.Event(), []
    go = threading.Event()

    def build():
        inside.set()
        assert go.wait(10)
        return nn.Linear(4, 4)

    thread = threading.Thread(target=lambda: seen.append(on_meta(build, dtype=torch.bfloat16)))
    thread.start()
    assert inside.wait(10)
    beside = nn.Linear(4, 4)
    go.set()
    thread.join(10)
    assert (beside.weight.device.type, beside.weight.dtype) == ("cpu", torch.float32)
    assert (seen[0].weight.device.type, seen[0].weight.dtype) == ("meta", torch.bfloat16)


def test_two_threads_build_each_their_own():
    dtypes = [torch.bfloat16, torch.float16, torch.float64, torch.float32] * 4
    built = {}

    def work(place):
        built[place] = on_meta(Reading, dtype=dtypes[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(dtypes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [built[place].layer.weight.dtype for place in range(len(dtypes))] == dtypes


def test_ties_are_kept_also_of_what_was_made_elsewhere():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.from_numpy(np.zeros((4, 4), dtype=np.float32)))
            self.layer = nn.Linear(4, 4)
            self.layer.weight = self.weight

    built = on_meta(Tied)
    assert built.weight is built.layer.weight
    assert built.weight.is_meta
    assert len(list(built.parameters())) == 2


def test_a_weight_that_dice_or_nobody_has_filled_is_never_read():
    def build():
        layer = nn.Linear(4, 4)
        layer.scale = layer.weight.max().item()
        return layer

    with pytest.raises(ModelError, match='device="cpu"'):
        on_meta(build)

    def partly():
        table = torch.zeros(4)
        part = table[:2]
        part.uniform_()
        return nn.Linear(4, int(table.sum().item()) + 1)

    with pytest.raises(ModelError, match='device="cpu"'):
        on_meta(partly)


@pytest.mark.parametrize(
    ("build", "dtype", "words"),
    [
        (nn.Linear(4, 4), None, "lambda"),
        ("model", None, "str"),
        (lambda: 3, None, "int"),
        (lambda: nn.Linear(4, 4), torch.int8, "torch.int8"),
        (lambda: nn.Linear(4, 4), "bfloat16", "bfloat16"),
    ],
)
def test_bad_input_is_named(build, dtype, words):
    with pytest.raises(InputError, match=words):
        on_meta(build, dtype=dtype)


def test_blocks_of_seven_gigabytes_are_counted_to_the_last_without_them():
    width, inner, depth, words = 8192, 28672, 4, 128256

    def build():
        blocks = []
        for _ in range(depth):
            blocks += [
                nn.Linear(width, width),
                nn.Linear(width, inner, bias=False),
                nn.Linear(inner, width, bias=False),
            ]
        return nn.Sequential(nn.Embedding(words, width), *blocks)

    seen = profile(on_meta(build, dtype=torch.bfloat16), torch.arange(2048)[None], options=QUICK)
    assert seen.cost.macs == 2048 * depth * (width * width + 2 * width * inner)
    assert seen.cost.param_bytes == 2 * (words * width + depth * (width * width + width + 2 * width * inner))
