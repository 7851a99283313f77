"""What all tables that leave the notebook share."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Environment, PeerCount, PeerLayer, Reconciliation
from effwidgets.whatif.comparison import compare
from effwidgets.whatif.sweep import Axis, sweep


def reconciliation(profile):
    same = PeerLayer(layer="", kind="Net", ours=1, theirs=1, own_ours=1, own_theirs=1, printed_as="")
    return Reconciliation(
        model="Net",
        inputs=((1,),),
        environment=Environment(torch="2.13.0", device="cpu", threads=1),
        train=False,
        backward=False,
        ours=1,
        peers=(PeerCount(peer="one", title="One", setting="", flops=1, layers=(same,)),),
    )


MAKERS = {
    "profile": lambda profile: profile,
    "comparison": lambda profile: compare(profile, dataclasses.replace(profile)),
    "sweep": lambda _: sweep(nn.Linear(8, 4), lambda n: torch.zeros(n, 8), Axis(name="size", sizes=(1, 2))),
    "health": lambda _: effwidgets.health(nn.Linear(8, 4), torch.ones(2, 8)),
    "reconciliation": reconciliation,
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_every_table_for_a_paper_refuses_the_same_depths_and_columns(name, profile):
    found = MAKERS[name](profile)
    assert found.to_markdown(depth=0).strip()
    for depth in (-5, True, 1.0, "1"):
        with pytest.raises(InputError, match="depth is"):
            found.to_markdown(depth=depth)
    for columns in ("macs", "", [], ()):
        with pytest.raises(InputError, match="a list of names was expected, such as"):
            found.to_markdown(columns=columns)
    with pytest.raises(UnknownNameError, match="column"):
        found.to_markdown(columns=["flopz"])
