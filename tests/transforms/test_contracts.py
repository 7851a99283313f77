"""Every registered transformation over every model of the zoo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from effwidgets.profiling import ProfileOptions
from effwidgets.profiling.profile import profile
from effwidgets.records import Site, Skip
from effwidgets.testing.contracts import TransformContract
from effwidgets.testing.zoo import MODELS, Specimen
from effwidgets.transforms.base import TRANSFORMS, Transform

NAMES = tuple(TRANSFORMS)
TABLE = Path(__file__).with_name("table.txt")
each_model = pytest.mark.parametrize("specimen", MODELS, ids=lambda found: found.name)
each_transform = pytest.mark.parametrize("name", NAMES)


# The quick suite looks at one pair of six, spread over all models and techniques, and at one site of each.
SPREAD = [(found, name) for i, found in enumerate(MODELS) for j, name in enumerate(NAMES) if (i + j) % 6 == 0]


def _quickly(transform: Transform) -> bool:
    """Say whether a contract takes well under a second; one that trains a block or compiles takes many."""
    return not getattr(transform, "needs_calibration", False) and not getattr(transform, "compiles", False)


@pytest.mark.parametrize(
    ("specimen", "name"),
    [(found, name) for found, name in SPREAD if _quickly(TRANSFORMS[name])],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_transformation_keeps_its_promises(specimen: Specimen, name: str):
    TransformContract(TRANSFORMS[name]).check(specimen.build(), specimen.inputs(), at=MODELS.index(specimen))


@pytest.mark.slow
@each_model
@each_transform
def test_a_transformation_keeps_its_promises_everywhere(specimen: Specimen, name: str):
    """One site of each pair, another one for each model; `channel_prune` and what factors at every site."""
    every = TRANSFORMS[name].family in ("prune", "factorize", "bottleneck") and _quickly(TRANSFORMS[name])
    at = None if every else MODELS.index(specimen)
    TransformContract(TRANSFORMS[name]).check(specimen.build(), specimen.inputs(), at=at)


def test_every_transformation_applies_somewhere():
    for name in NAMES:
        models = (specimen for specimen in MODELS)
        assert any(TransformContract(TRANSFORMS[name]).sites(profile(m.build(), m.inputs())) for m in models), name


def _table() -> str:
    lines = []
    for specimen in MODELS:
        known = profile(specimen.build(), specimen.inputs(), options=ProfileOptions(second_opinion=True))
        for name in NAMES:
            found = list(TRANSFORMS[name].sites(known))
            lines += [f"{specimen.name} | {name} | {line}" for line in _lines(found)]
    return "\n".join(lines) + "\n"


def _lines(found: list[Site | Skip]) -> list[str]:
    if not found:
        return ["- | no layer of its kind"]
    return [
        f"{', '.join(name or 'the model itself' for name in one.layers) or 'the model itself'} | "
        f"{'apply' if isinstance(one, Site) else 'skip'}: {one.reason}"
        for one in found
    ]


def test_the_table_says_apply_or_skip_for_every_pair_of_model_and_transformation():
    """Written anew with EFFWIDGETS_REWRITE=1; read the difference before you keep it."""
    table = _table()
    if os.environ.get("EFFWIDGETS_REWRITE") == "1":
        TABLE.write_text(table, encoding="utf-8")
    assert table == TABLE.read_text(encoding="utf-8")
