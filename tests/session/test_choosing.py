"""The verb and the word that choose under budgets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import effwidgets
from effwidgets.errors import InputError
from effwidgets.magics import effdl
from effwidgets.session.planned import plan_of


@pytest.fixture(scope="module")
def network():
    state = torch.get_rng_state()
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8))
    torch.set_rng_state(state)
    return made


@pytest.fixture(scope="module")
def chosen(network):
    return effwidgets.choose(network, torch.eye(32), {"macs": 0.5, "bytes": "60%"})


def test_what_was_chosen_can_be_applied_and_keeps_the_budgets(network, chosen):
    made = effwidgets.apply(network, chosen, torch.eye(32))
    now = effwidgets.profile(network, torch.eye(32))
    assert made.profile.cost.macs <= 0.5 * now.cost.macs
    assert made.profile.cost.param_bytes <= 0.6 * now.cost.param_bytes
    assert plan_of(chosen) == chosen.plan


def test_the_answer_shows_predicted_and_true_in_text_and_on_a_page(chosen):
    bundle = chosen._repr_mimebundle_()
    for medium in ("text/plain", "text/html"):
        for word in ("Predicted", "True", "FLOPs", "Parameter bytes", "Loss"):
            assert word in bundle[medium], (medium, word)
    assert "<script" not in bundle["text/html"]


def test_without_budgets_the_verb_says_what_they_look_like(network):
    with pytest.raises(InputError, match=r"'macs': 0\.5"):
        effwidgets.choose(network, torch.eye(32))


def test_the_word_takes_budgets_at_once_or_one_by_one(network):
    names = {"network": network, "x": torch.eye(32)}
    once = effdl("choose network x --budget macs=50%,bytes=60%", names=names)
    assert {one.axis: one.met for one in once.budgets} == {"macs": True, "param_bytes": True}
    assert effdl("choose network x --budget macs=50% --budget bytes=60%", names=names).plan == once.plan
    for text in ("", "--budget=", "--budget=macs", "--budget=macs=", "--budget==3"):
        with pytest.raises(InputError, match="macs=50%"):
            effdl(f"choose network x {text}", names=names)
