"""What a step asks for that every technique understands."""

import pytest

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import profile
from effwidgets.records import Site, Step, settings
from effwidgets.search.advice.places import Place, step_at
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.base import TRANSFORMS


@pytest.mark.parametrize("name", ["low_rank", "spatial_svd", "channel_prune", "fire"])
def test_anyway_is_true_or_false_and_nothing_else(name: str) -> None:
    found = specimen("residual")
    known = profile(found.build(), found.inputs())
    site = next(one for one in TRANSFORMS[name].sites(known) if isinstance(one, Site))
    # All that there is, which is asked about `anyway`.
    plain = step_at(Place(TRANSFORMS[name], site), 0.5)
    full = {knob.name: int(knob.high or 1) for knob in site.knobs if knob.kind == "int"}
    step = Step(transform=name, layers=plain.layers, settings=settings({**dict(plain.settings), **full}, anyway="no"))
    with pytest.raises(TransformError, match="True or False was expected"):
        TRANSFORMS[name].estimate(known, step)
