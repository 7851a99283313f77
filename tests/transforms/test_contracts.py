"""Every registered transformation over every model of the zoo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from effwidgets.profiling.profile import profile
from effwidgets.records import Site
from effwidgets.testing.contracts import TransformContract
from effwidgets.testing.zoo import MODELS, Specimen
from effwidgets.transforms.base import TRANSFORMS

NAMES = tuple(TRANSFORMS)
TABLE = Path(__file__).with_name("table.txt")
each_model = pytest.mark.parametrize("specimen", MODELS, ids=lambda found: found.name)
each_transform = pytest.mark.parametrize("name", NAMES)


# The quick suite looks at every second pair, like the dark squares of a board, and at one site of each.
DARK = [(found, name) for i, found in enumerate(MODELS) for j, name in enumerate(NAMES) if (i + j) % 2 == 0]


@pytest.mark.parametrize(("specimen", "name"), DARK, ids=[f"{found.name}-{name}" for found, name in DARK])
def test_a_transformation_keeps_its_promises(specimen: Specimen, name: str):
    TransformContract(TRANSFORMS[name]).check(specimen.build(), specimen.inputs(), at=MODELS.index(specimen))


@pytest.mark.slow
@each_model
@each_transform
def test_a_transformation_keeps_its_promises_everywhere(specimen: Specimen, name: str):
    TransformContract(TRANSFORMS[name]).check(specimen.build(), specimen.inputs())


def test_every_transformation_applies_somewhere():
    for name in NAMES:
        models = (specimen for specimen in MODELS)
        assert any(TransformContract(TRANSFORMS[name]).sites(profile(m.build(), m.inputs())) for m in models), name


def _table() -> str:
    lines = []
    for specimen in MODELS:
        known = profile(specimen.build(), specimen.inputs())
        for name in NAMES:
            for found in TRANSFORMS[name].sites(known):
                word = "apply" if isinstance(found, Site) else "skip"
                place = ", ".join(found.layers) or "the model itself"
                lines.append(f"{specimen.name} | {name} | {place} | {word}: {found.reason}")
    return "\n".join(lines) + "\n"


def test_the_table_says_apply_or_skip_for_every_pair_of_model_and_transformation():
    """Written anew with EFFWIDGETS_REWRITE=1; read the difference before you keep it."""
    table = _table()
    if os.environ.get("EFFWIDGETS_REWRITE") == "1":
        TABLE.write_text(table, encoding="utf-8")
    assert table == TABLE.read_text(encoding="utf-8")
