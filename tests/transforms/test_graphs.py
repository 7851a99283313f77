"""Graphs carry their own code, keep their names in copies, and are copied quickly for shadows."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor, nn

from effwidgets import profile
from effwidgets.profiling.shadow import make_shadow, share
from effwidgets.transforms.graphs import graph_of


class _Template(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("shift", torch.ones(3))
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x @ self.weight) + self.shift * 2


def test_a_buffer_is_read_in_each_forward() -> None:
    made = graph_of(_Template(), "Fire")
    x = torch.ones(1, 3)
    before = made(x)
    with torch.no_grad():
        made.get_buffer("shift").add_(1)
    torch.testing.assert_close(made(x), before + 2)


def test_a_pickle_names_nothing_of_ours() -> None:
    made = graph_of(_Template(), "Fire")
    pickled = pickle.dumps(made)
    assert b"effwidgets" not in pickled
    twin = pickle.loads(pickled)  # noqa: S301  our own bytes
    assert type(twin).__name__ == "Fire"
    assert torch.equal(twin(torch.ones(1, 3)), made(torch.ones(1, 3)))


def test_copies_and_profiles_keep_the_name() -> None:
    model = nn.Sequential(graph_of(_Template(), "Fire"))
    twice = copy.deepcopy(copy.deepcopy(model))
    for found in (model, twice, share(model), make_shadow(model).model):
        assert type(found[0]).__name__ == "Fire"
    assert profile(twice, torch.ones(1, 3)).layer("0").kind == "Fire"


def test_a_shared_copy_has_children_of_its_own_and_the_same_code() -> None:
    model = nn.Sequential(graph_of(_Template(), "Fire"))
    twin = share(model)
    assert twin[0].graph is model[0].graph
    assert twin[0].weight is model[0].weight
    twin[0].inner = nn.Identity()
    x = torch.ones(1, 3)
    torch.testing.assert_close(twin(x), x @ model[0].weight + 2)
    torch.testing.assert_close(model(x), model[0].inner(x @ model[0].weight) + 2)
