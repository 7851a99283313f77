"""One walk over a model gives what two of torch's give."""

import pytest
from torch import nn

from effwidgets.profiling.tree import tree_of
from effwidgets.testing.zoo import MODELS


def shared():
    """A block under three names, one of them inside another block that is shared too; a child that is None."""
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    outer = nn.Sequential(inner, nn.Linear(2, 2))
    model = nn.ModuleDict({"one": outer, "two": inner, "three": nn.ModuleList([outer, nn.Identity()])})
    model.register_module("nothing", None)
    return model


EACH = pytest.mark.parametrize("build", [shared, *(found.build for found in MODELS)])


@EACH
def test_modules_come_in_torchs_order_under_their_first_path(build):
    model = build()
    tree = tree_of(model)
    assert list(tree.modules.items()) == list(model.named_modules())


@EACH
def test_aliases_are_all_the_other_paths(build):
    model = build()
    first = {module: path for path, module in model.named_modules()}
    others = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if path != first[module]:
            others.setdefault(first[module], set()).add(path)
    assert {path: set(aliases) for path, aliases in tree_of(model).aliases.items()} == others


@EACH
def test_tensors_are_the_parameters_and_buffers_of_each_module_once(build):
    model = build()
    expected = []
    for module in model.modules():
        expected += [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
    found = tree_of(model).tensors()
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in expected]


def test_a_tied_tensor_stands_there_as_often_as_it_is_held():
    model = nn.ModuleList([nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)])
    model[1].weight = model[0].weight
    model.register_buffer("missing", None)
    assert [id(tensor) for tensor in tree_of(model).tensors()] == [id(model[0].weight)] * 2


def test_a_deep_model_takes_no_deep_stack():
    model = nn.Identity()
    for _ in range(3000):
        model = nn.Sequential(model)
    assert len(tree_of(model).modules) == 3001


def test_a_module_that_holds_itself_is_walked_once():
    outer = nn.Sequential(nn.Linear(2, 2))
    outer[0].parent = outer
    found = tree_of(outer)
    assert list(found.modules) == ["", "0"]
    assert found.aliases == {"": ("0.parent",)}


def test_nested_sharing_does_not_make_names_without_end():
    model: nn.Module = nn.Linear(2, 2)
    for _ in range(40):  # 2^40 names
        model = nn.Sequential(model, model)
    found = tree_of(model)
    assert len(found.modules) == 41
    assert sum(map(len, found.aliases.values())) < 50_000
