"""A number that stands at another layer is a difference there, with a reason, and none at the whole."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets.reconcile import ReconcileOptions, reconcile
from tests.reconcile.test_reconcile import check, items

WITH_BACKWARD = ReconcileOptions(backward=True)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.deep = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU())

    def forward(self, x):
        return self.deep(self.fc(x))


class Shared(nn.Module):
    """One block in two branches."""

    def __init__(self):
        super().__init__()
        block = Block()
        self.left, self.right = nn.Sequential(block, nn.Linear(8, 8)), nn.Sequential(nn.Linear(8, 8), block)

    def forward(self, x):
        return self.left(x) + self.right(x)


class Lends(nn.Module):
    """A layer that another one calls."""

    class User(nn.Module):
        def __init__(self):
            super().__init__()
            self.own = nn.Linear(8, 8)

        def forward(self, x, other):
            return other(self.own(x))

    def __init__(self):
        super().__init__()
        self.core, self.user = nn.Linear(8, 8), self.User()

    def forward(self, x):
        return self.user(x, self.core) + self.core(x)


class Listed(nn.Module):
    """A list that is never called, and a block whose forward is called past its hooks."""

    def __init__(self):
        super().__init__()
        self.block, self.list = Block(), nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        x = self.block.forward(x)
        for layer in self.list:
            x = layer(x)
        return x


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 32)

    def forward(self, x):
        return self.a(x).sum() + self.b(x).sum() + self.c(x).sum()


X = torch.zeros(4, 8)


def test_a_shared_block_is_counted_where_it_is_called_there_and_where_it_stands_here():
    found = reconcile(Shared(), X)
    check(found)
    counter = found.peer("flop_counter")
    call = 2 * 4 * 64  # one call of the block: two layers of 8 x 8 for 4 rows
    assert items(found, "flop_counter") == {}
    assert items(found, "flop_counter", "left") == {("caller", "addmm"): call}
    assert items(found, "flop_counter", "right") == {("caller", "addmm"): -call}
    assert counter.layer("left.0").printed_as == "Shared.right.1"
    assert counter.layer("left.0").ours == counter.layer("left.0").theirs == 2 * call
    assert items(found, "fvcore", "left") == {}  # fvcore counts by where it stands, as we do


def test_a_lent_layer_is_counted_for_its_user_too():
    found = reconcile(Lends(), X, with_="flop_counter")
    check(found)
    assert items(found, "flop_counter", "user") == {("caller", "addmm"): -4 * 64}
    assert items(found, "flop_counter", "core") == {}


def test_what_has_no_row_there_is_the_sum_of_the_rows_below():
    found = reconcile(Listed(), X, with_="flop_counter")
    check(found)
    for name, macs in (("list", 3 * 4 * 64), ("block", 2 * 4 * 64)):
        layer = found.peer("flop_counter").layer(name)
        assert (layer.printed_as, layer.ours, layer.theirs, layer.items) == (None, macs, macs, ())


def test_their_hooks_give_the_backward_of_later_branches_to_earlier_ones():
    found = reconcile(Branches(), X, with_="flop_counter", options=WITH_BACKWARD)
    check(found)
    ours = {name: found.peer("flop_counter").layer(name).ours for name in "abc"}
    assert ours == {name: 2 * 4 * 8 * width for name, width in (("a", 8), ("b", 16), ("c", 32))}
    moved = {name: sum(items(found, "flop_counter", name).values()) for name in "abc"}
    assert {reason for name in "abc" for reason, _ in items(found, "flop_counter", name)} == {"hooks"}
    assert max(moved.values()) <= 0 > min(moved.values())
    assert items(found, "flop_counter") == {}


def test_shared_and_lent_layers_are_reconciled_with_their_backward():
    for model in (Shared(), Lends(), Listed()):
        check(reconcile(model, X, options=WITH_BACKWARD))
