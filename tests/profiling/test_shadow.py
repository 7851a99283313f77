"""Copies that allocate nothing, and copies that share."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, run
from effwidgets.profiling.shadow import make_shadow, share
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, specimen


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_a_shadow_has_the_same_tree_and_only_fake_tensors(found):
    model = found.build()
    shadow = make_shadow(model)
    assert [(n, type(m)) for n, m in shadow.model.named_modules()] == [(n, type(m)) for n, m in model.named_modules()]
    held = dict([*model.named_parameters(), *model.named_buffers()])
    faked = dict([*shadow.model.named_parameters(), *shadow.model.named_buffers()])
    assert held.keys() == faked.keys()
    for name, tensor in held.items():
        fake = faked[name]
        assert isinstance(fake, FakeTensor)
        assert (fake.shape, fake.dtype, fake.device) == (tensor.shape, tensor.dtype, tensor.device)
        assert fake.requires_grad == tensor.requires_grad
        assert isinstance(fake, nn.Parameter) == isinstance(tensor, nn.Parameter)


@pytest.mark.parametrize("found", [found for found in MODELS if found.name != "branch"], ids=lambda found: found.name)
def test_a_shadow_returns_the_shapes_of_the_model(found):
    model, call = found.build(), found.inputs()
    shadow = make_shadow(model)
    with shadow.mode, torch.no_grad():
        faked = run(shadow.model, shadow.fake(call))
    with torch.no_grad():
        real = run(model, call)
    assert (faked.shape, faked.dtype) == (real.shape, real.dtype)


def test_ties_are_kept_and_so_are_views_of_one_storage():
    model = specimen("gpt").build()
    shadow = make_shadow(model).model
    assert shadow.head.weight is shadow.words.weight

    whole = torch.zeros(6, 4)
    pair = nn.Module()
    pair.register_buffer("whole", whole)
    pair.register_buffer("part", whole[2:4])
    shadow = make_shadow(pair).model
    assert shadow.part.untyped_storage()._cdata == shadow.whole.untyped_storage()._cdata
    assert shadow.part.storage_offset() == 8


def test_a_shadow_of_a_huge_model_allocates_nothing():
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(100_000, 100_000, bias=False) for _ in range(3)))  # 120 GB
    shadow = make_shadow(model)
    assert {tensor.device.type for tensor in shadow.model.parameters()} == {"cpu"}
    with shadow.mode:
        assert shadow.model(torch.zeros(2, 100_000)).shape == (2, 100_000)


def test_plain_tensor_attributes_become_fake_too():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales = {"one": [torch.ones(3)]}
            self.made = torch.ones(3, requires_grad=True) * 2  # not a leaf: deepcopy refuses these

        def forward(self, x):
            return x * self.scales["one"][0] * self.made

    model = Scaled()
    shadow = make_shadow(model).model
    assert isinstance(shadow.scales["one"][0], FakeTensor)
    assert isinstance(shadow.made, FakeTensor)
    assert type(model.made) is torch.Tensor


def test_recurrent_layers_run_on_their_own_fake_weights():
    shadow = make_shadow(nn.GRU(3, 4)).model
    assert all(
        weight is getattr(shadow, name)
        for weight, name in zip(shadow._flat_weights, shadow._flat_weights_names, strict=True)
    )


def test_a_module_with_its_own_way_of_being_copied_is_asked():
    class Counted(nn.Linear):
        copies = 0

        def __deepcopy__(self, memo):
            Counted.copies += 1
            twin = nn.Linear.__new__(Counted)
            twin.__dict__ = {name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()}
            return twin

    shadow = make_shadow(nn.Sequential(Counted(2, 2)))
    assert Counted.copies == 1
    assert isinstance(shadow.model[0].weight, FakeTensor)


@pytest.mark.parametrize("wrong", [nn.Linear, 3, "model"])
def test_something_else_than_a_module_is_refused(wrong):
    with pytest.raises(InputError, match=r"torch\.nn\.Module was expected"):
        make_shadow(wrong)


def test_a_model_that_cannot_be_copied_is_refused_with_the_reason():
    model = nn.Linear(2, 2)
    model.file = open(__file__)  # noqa: SIM115, PTH123
    try:
        with pytest.raises(InputError, match="cannot be copied"):
            make_shadow(model)
    finally:
        model.file.close()


def test_small_whole_numbers_keep_their_values():
    shadow = make_shadow(nn.Identity())
    ids = torch.tensor([[3, 1], [2, 5]])
    (fake,) = shadow.fake(Call((ids,))).args
    assert fake._effdl_value.equal(ids)


def test_share_holds_the_same_tensors_in_a_tree_of_its_own():
    model = specimen("residual").build()
    before = state_of(model)
    twin = share(model)
    assert all(a is b for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert all(a is b for a, b in zip(model.buffers(), twin.buffers(), strict=True))
    assert not {id(module) for module in model.modules()} & {id(module) for module in twin.modules()}
    twin.head = nn.Identity()
    twin.stem[0].weight = nn.Parameter(torch.zeros(1))
    twin.stem[1].running_mean = torch.zeros(1)
    twin.train()
    for module in twin.modules():
        module.register_forward_hook(lambda *_: None)
        module.register_forward_pre_hook(lambda *_: None)
    assert before.differences(state_of(model)) == []


def test_share_keeps_hooks_and_ties():
    model = specimen("gpt").build()
    seen = []
    model.words.register_forward_hook(lambda *_: seen.append(1))
    twin = share(model)
    assert twin.head.weight is twin.words.weight
    run(twin, specimen("gpt").inputs())
    assert seen == [1]
