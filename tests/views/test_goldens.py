"""Payloads that Python writes here and TypeScript reads from the same files, so that both sides fail together."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from effwidgets.units import bytes_text, count_text, percent_text, seconds_text
from effwidgets.views import layers, pareto, suggestions
from effwidgets.views.families import FAMILIES

GOLDEN = Path(__file__).parent.parent / "golden"


def written(name, payload):
    """The golden file; ``EFFWIDGETS_REWRITE=1`` writes it anew, and a reader looks at the diff."""
    path = GOLDEN / f"{name}.json"
    text = json.dumps(payload, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if os.environ.get("EFFWIDGETS_REWRITE") == "1":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8"), text


@pytest.mark.parametrize("name", ["layers", "layers_timed", "layers_masked", "suggestions", "pareto"])
def test_the_payload_is_the_one_that_the_page_is_tested_with(name, profile, timed, masked, desk, study):
    payload = {
        "layers": lambda: layers.payload(profile),
        "layers_timed": lambda: layers.payload(timed),
        "layers_masked": lambda: layers.payload(masked),
        "suggestions": lambda: suggestions.payload(desk),
        "pareto": lambda: pareto.payload(study),
    }[name]()
    golden, now = written(name, payload)
    assert now == golden


# Borders of prefixes and of digits, and ties, which are rounded to the even digit. Counts and bytes are never below 0.
COUNTS = [0, 1, 7, 999, 999.4, 999.6, 1000, 1004.9, 1005, 9_994, 9_996, 99_949, 99_951, 999_499, 999_500, 999_999]
COUNTS += [11_689_512, 3.6e9, 1e12, 4.4e15, 0.125, 0.375, 2.5, 2.675, 12.25, 12.35, 100.5, 101.5, 1_125, 1_375]
SECONDS = [0, 3e-10, 2.5e-9, 1.25e-5, 2.5e-5, 9.996e-4, 0.0009, 0.0288, 0.125, 1, 1.125, 9.996, 89.96, 90, 95, 119.5]
SECONDS += [120.5, 125, 3599.7, 86_400]
CHANGES = [-1, -0.995, -0.674, -0.125, -0.0995, -0.0945, -0.0005, -0.00049, 0, 0.00049, 0.004, 0.0625, 0.0995, 0.1]
CHANGES += [0.105, 0.115, 0.125, 1, 12.5]


def test_numbers_and_families_read_the_same_in_python_and_on_the_page():
    writers = {"count": (count_text, COUNTS), "bytes": (bytes_text, COUNTS), "seconds": (seconds_text, SECONDS)}
    writers["percent"] = (percent_text, CHANGES)
    table = {
        "texts": [[name, value, write(value)] for name, (write, values) in writers.items() for value in values],
        "families": [[known.name, known.title, known.shape] for known in FAMILIES.values()],
    }
    golden, now = written("format", table)
    assert now == golden
