"""Which steps of a plan can be done together."""

from __future__ import annotations

import random

import pytest

from effwidgets.profiling.profile import profile
from effwidgets.records import Edit, Kept, Piece, Plan, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.places import clash, meet, places_of, touched_by
from effwidgets.transforms.waves import waves_of

SPLITS = ("block1.conv1", "block1.conv2", "block2.conv1", "block2.conv2")
PRUNED = ("stem.0", "block1.conv1", "block2.conv1")


def svd(layer: str) -> Step:
    return Step(transform="spatial_svd", layers=(layer,), settings=settings(rank=2))


def prune(group: str) -> Step:
    return Step(transform="channel_prune", layers=(group,), settings=settings(channels=3))


@pytest.fixture(scope="module")
def known():
    found = specimen("residual")
    return profile(found.build(), found.inputs())


def test_splits_of_other_layers_are_one_wave(known):
    assert waves_of(Plan(steps=tuple(map(svd, SPLITS))), known) == ((0, 1, 2, 3),)


def test_a_split_waits_for_the_pruning_of_its_own_channels(known):
    assert waves_of(Plan(steps=(prune("block1.conv1"), svd("block1.conv2"), svd("block2.conv2"))), known) == (
        (0, 2),
        (1,),
    )


def test_neighbouring_prunings_change_other_sides_and_keep_their_order(known):
    assert waves_of(Plan(steps=(prune("block1.conv1"), prune("stem.0"))), known) == ((0, 1),)


def test_what_cannot_be_done_holds_nobody_up(known):
    wrong = Step(transform="spatial_svd", layers=("block1.conv2",), settings=settings(rank=900))
    plan = Plan(steps=(wrong, prune("block1.conv1"), svd("block2.conv2")))
    assert waves_of(plan, known) == ((0, 2), (1,))


def test_an_empty_plan_has_no_waves(known):
    assert waves_of(Plan(), known) == ()


@pytest.mark.parametrize("seed", range(20))
def test_every_step_is_in_one_wave_behind_all_that_it_depends_on(known, seed):
    draw = random.Random(seed)  # noqa: S311  nothing is kept secret
    steps = [*map(svd, SPLITS), *map(prune, PRUNED)]
    draw.shuffle(steps)
    waves = waves_of(Plan(steps=tuple(steps)), known)
    where = {number: wave for wave, numbers in enumerate(waves) for number in numbers}
    assert sorted(where) == list(range(len(steps)))
    assert all(list(numbers) == sorted(numbers) for numbers in waves)
    groups = {group.name: group for group in known.groups}
    for later, step in enumerate(steps):
        if svd(step.layers[0]) in steps[:later]:
            continue  # its channels have another name by then, so it will be left out
        for earlier, other in enumerate(steps[:later]):
            if svd(other.layers[0]) in steps[:earlier]:
                continue
            mine, theirs = (
                places_of(s, groups[s.layers[0]] if s.transform == "channel_prune" else None) for s in (step, other)
            )
            if clash(mine, theirs):
                assert where[earlier] < where[later], (str(other), str(step))
            elif meet(mine, theirs):
                assert where[earlier] <= where[later], (str(other), str(step))


def test_a_block_and_a_layer_in_it_clash_and_names_that_only_begin_alike_do_not():
    def both(layer: str) -> frozenset[tuple[str, str]]:
        return places_of(svd(layer), None)

    assert clash(both("block1"), both("block1.conv1"))
    assert clash(both(""), both("fc"))
    assert not clash(both("block1"), both("block10.conv1"))
    assert not clash([("fc", "out")], [("fc", "in")])
    assert meet([("fc", "out")], [("fc", "in")])


def test_an_edit_has_touched_the_sides_that_it_kept_or_all_that_it_replaced():
    kept = (Kept(layer="a", side="out", indices=(0,)), Kept(layer="b", side="in", indices=(0,)))
    pieces = (Piece(layer="a", text=""), Piece(layer="b", text=""))
    assert touched_by(Edit(step=prune("a"), before=pieces, after=pieces, kept=kept)) == {("a", "out"), ("b", "in")}
    block = Edit(step=svd("block"), before=(Piece(layer="block.fc", text=""),), after=())
    assert {layer for layer, _ in touched_by(block)} == {"block", "block.fc"}
