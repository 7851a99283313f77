"""What all plotly figures share."""

from __future__ import annotations

import dataclasses

import pytest

from effwidgets.records import (
    Environment,
    Explained,
    PeerCount,
    PeerLayer,
    Profile,
    Reconciliation,
    Sweep,
    SweepPoint,
)
from effwidgets.views import comparison, layers, pareto, reconciliation, sweep
from effwidgets.views import suggestions as suggestions_view
from effwidgets.whatif.comparison import compare

FORMULA = "$x^2$"


def named(profile: Profile) -> Profile:
    names = {"": "", "conv1": FORMULA}
    rows = tuple(dataclasses.replace(one, name=names.get(one.name, one.name), kind=FORMULA) for one in profile.layers)
    return dataclasses.replace(profile, model=FORMULA, layers=rows)


def a_comparison(profile):
    return comparison.FIGURE.draw(compare(profile, named(profile)))


def a_sweep(profile):
    memory = dataclasses.replace(profile.memory, inference_peak_at=FORMULA, training_peak_at=FORMULA)
    points = tuple(SweepPoint(size=n, inputs=((n,),), cost=profile.cost, memory=memory) for n in (1, 2))
    found = Sweep(model=FORMULA, axis="batch", changed=(), dtype="float32", train=False, points=points)
    return sweep.FIGURE.draw(found)


def a_reconciliation(_):
    item = Explained(reason="included", op=FORMULA, times=1, macs=-1, words=FORMULA)
    layer = PeerLayer(layer="", kind="Net", ours=1, theirs=2, own_ours=1, own_theirs=2, printed_as="", items=(item,))
    return reconciliation.FIGURE.draw(
        Reconciliation(
            model=FORMULA,
            inputs=((1,),),
            environment=Environment(torch="2.13.0", device="cpu", threads=1),
            train=False,
            backward=False,
            ours=1,
            peers=(PeerCount(peer="one", title=FORMULA, setting="", flops=2, layers=(layer,)),),
        )
    )


DRAWN = {
    "comparison": a_comparison,
    "sweep": a_sweep,
    "reconciliation": a_reconciliation,
    "layers": lambda profile: layers.FIGURE.draw(named(profile)),
}


@pytest.mark.parametrize("name", list(DRAWN))
def test_names_with_dollars_never_become_formulas(name, profile):
    text = DRAWN[name](profile).to_json()
    assert "x^2" in text  # the name is there
    assert "$x" not in text


def test_a_search_and_its_suggestions_show_dollars_as_they_are(study, suggestions):
    drawn = pareto.FIGURE.draw(dataclasses.replace(study, title=FORMULA)).to_json()
    assert "x^2" in drawn
    assert "$x" not in drawn
    drawn = suggestions_view.FIGURE.draw(dataclasses.replace(suggestions, model=FORMULA)).to_json()
    assert "x^2" in drawn
    assert "$x" not in drawn
