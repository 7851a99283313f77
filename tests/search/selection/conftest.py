"""Options with made-up losses, so that nothing is measured where only the choice among them matters."""

from __future__ import annotations

import dataclasses

import pytest

from effwidgets.profiling.profile import ProfileOptions
from effwidgets.profiling.profile import profile as profile_model
from effwidgets.records import Option
from effwidgets.search.advice.places import change_of, holders, places_of, step_at

SHARES = (0.75, 0.5, 0.25)


@pytest.fixture(scope="module")
def known(_network, images):
    """The profile of the residual network, with groups."""
    return profile_model(_network, images, options=ProfileOptions(second_opinion=True))


@pytest.fixture(scope="module")
def options(known):
    """Three settings at each place that can be pruned or factored; the loss is the share saved, squared."""
    found = []
    for place in places_of(known, ("prune", "factorize"))[0]:
        for step in dict.fromkeys(step_at(place, share) for share in SHARES):
            change = change_of(known, step)
            if change is None or change.macs >= 0:
                continue
            saving = -change.macs / known.cost.macs
            cuts = place.transform.family == "prune"
            found.append(
                Option(
                    step=step,
                    family=place.transform.family,
                    unit=tuple(sorted(holders(known, step))) if cuts else step.layers,
                    change=change,
                    saving=saving,
                    divergence=saving**2,
                )
            )
    return tuple(found)


@pytest.fixture
def scaled(options):
    """The same with other losses."""

    def scale(factor):
        return tuple(dataclasses.replace(one, divergence=factor * (one.divergence or 0.0)) for one in options)

    return scale
