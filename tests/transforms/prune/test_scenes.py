"""How a criterion looks at a weight: by the entries of one of its sides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Group, Member, Step
from effwidgets.transforms.prune.channels import axes_of
from effwidgets.transforms.prune.scenes import Scene


def scene(module: nn.Module, kind: str, groups: int = 1, sizes: tuple[int, int] = (6, 4)) -> Scene:
    members = (Member(layer="x", side="out"), Member(layer="x", side="in", repeat=2, start=2))
    return Scene(
        step=Step(transform="channel_prune", layers=("x",)),
        group=Group(name="x", channels=2, members=members),
        modules={"x": module},
        axes={"x": axes_of(kind, groups, *sizes)},
        model=module,
    )


@pytest.mark.parametrize(
    ("kind", "groups"), [("Conv1d", 1), ("Conv1d", 2), ("ConvTranspose1d", 1), ("ConvTranspose1d", 2)]
)
@pytest.mark.parametrize("side", ["in", "out"])
def test_the_row_of_an_entry_is_what_a_gradient_of_it_meets(kind, groups, side):
    """The slow way: which weights an input reaches, or an output is made of, found by autograd."""
    torch.manual_seed(0)
    layer = getattr(nn, kind)(6, 4, 1, groups=groups, bias=False)
    rows = scene(layer, kind, groups).by_entry("x", side, layer.weight)
    for entry in range(6 if side == "in" else 4):
        x = torch.zeros(1, 6, 1)
        x[0, entry if side == "in" else slice(None)] = 1
        out = layer(x) if side == "in" else layer(x)[:, [entry]]
        (reached,) = torch.autograd.grad(out.sum(), layer.weight)
        assert torch.equal(rows[entry].sort().values, layer.weight[reached != 0].sort().values)


def test_a_span_is_the_entries_of_each_channel():
    found = scene(nn.Linear(6, 4), "Linear")
    assert found.span(torch.arange(6), found.group.members[1]).tolist() == [[2, 3], [4, 5]]
    assert [(layer, [member.start for member in members]) for layer, members in found.readers()] == [("x", [2])]


def test_what_is_missing_is_said():
    with pytest.raises(TransformError, match="x has no weight"):
        scene(nn.ReLU(), "Linear").weight("x")
    with pytest.raises(TransformError, match="'taylor' looks at real inputs"):
        scene(nn.Linear(6, 4), "Linear").data("taylor")
