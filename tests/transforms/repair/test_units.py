"""Which layers are fitted again after which edits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.records import Edit, Kept, Piece, Step, settings
from effwidgets.transforms.repair.units import Unit, units_of

LEAST = frozenset({"least_squares"})


def edit(
    *kept: tuple[str, str, tuple[int, ...]], before: tuple[str, ...] = (), transform: str = "channel_prune"
) -> Edit:
    step = Step(transform=transform, layers=before or (kept[0][0],), settings=settings())
    return Edit(
        step=step,
        before=tuple(Piece(layer=name, text="") for name in before),
        after=tuple(Piece(layer=name, text="") for name in before),
        kept=tuple(Kept(layer=layer, side=side, indices=indices) for layer, side, indices in kept),
    )


def unit(place: str, layer: str, kept: tuple[int, ...] | None = None) -> Unit:
    return Unit(place=place, layer=layer, kept=kept, steps=LEAST)


def model(*replaced: str) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 4))
    for name in replaced:
        parent, _, child = name.rpartition(".")
        setattr(made.get_submodule(parent), child, nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 4)))
    return made


def test_after_a_pruning_it_is_who_reads_the_channels():
    pruned = edit(("0", "out", (0, 2)), ("1", "out", (0, 2)), ("2", "in", (0, 2)))
    assert units_of(model(), model(), [pruned], LEAST) == ((unit("2", "2"),), ())


def test_outputs_that_were_pruned_too_are_composed_over_the_edits():
    edits = [
        edit(("0", "out", (0, 2)), ("2", "in", (0, 2))),
        edit(("2", "out", (0, 2, 3)), ("3", "in", (0, 2, 3))),
        edit(("2", "out", (1, 2)), ("3", "in", (1, 2))),
    ]
    found, _ = units_of(model(), model(), edits, LEAST)
    assert found == (unit("2", "2", (2, 3)), unit("3", "3"))


def test_after_a_split_it_is_the_last_factor():
    split = edit(before=("2",), transform="low_rank")
    assert units_of(model("2"), model(), [split], LEAST)[0] == (unit("2", "2.1"),)
    again = edit(before=("2.1",), transform="low_rank")
    assert units_of(model("2", "2.1"), model(), [split, again], LEAST)[0] == (unit("2", "2.1.1"),)


def test_a_factor_whose_inputs_or_outputs_were_pruned_stands_for_the_whole():
    split = edit(before=("2",), transform="low_rank")
    inputs = edit(("0", "out", (1, 2)), ("2.0", "in", (1, 2)))
    outputs = edit(("2.1", "out", (0, 3)), ("3", "in", (0, 3)))
    found, _ = units_of(model("2"), model(), [split, inputs, outputs], LEAST)
    assert found == (unit("2", "2.1", (0, 3)), unit("3", "3"))
    # What was pruned before it was split, as a whole.
    whole = edit(("2", "out", (0, 3)), ("3", "in", (0, 3)))
    assert units_of(model("2"), model(), [whole, split], LEAST)[0] == (unit("3", "3"), unit("2", "2.1", (0, 3)))


@pytest.mark.parametrize("change", ["parametrized", "tied", "quantized"])
def test_what_cannot_be_written_into_is_named(change):
    made = model()
    if change == "parametrized":
        nn.utils.parametrizations.orthogonal(made[2])
    elif change == "tied":
        made[3].weight = made[2].weight
    else:
        made[2].weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    found, (note,) = units_of(made, model(), [edit(("0", "out", (0,)), ("2", "in", (0,)))], LEAST)
    assert found == ()
    assert note.startswith("2 was not fitted again: its weight is ")


def test_nothing_is_asked_for_and_nothing_is_found():
    assert units_of(model(), model(), [edit(("0", "out", (0,)), ("2", "in", (0,)))], ["batch_norm"]) == ((), ())
