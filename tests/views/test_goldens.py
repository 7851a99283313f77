"""Payloads that Python writes here and TypeScript reads from the same files, so that both sides fail together."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from effwidgets.views import layers, pareto, suggestions

GOLDEN = Path(__file__).parent.parent / "golden"


def written(name, payload):
    """The golden file; ``EFFWIDGETS_REWRITE=1`` writes it anew, and a reader looks at the diff."""
    path = GOLDEN / f"{name}.json"
    text = json.dumps(payload, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if os.environ.get("EFFWIDGETS_REWRITE") == "1":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8"), text


@pytest.mark.parametrize("name", ["layers", "suggestions", "pareto"])
def test_the_payload_is_the_one_that_the_page_is_tested_with(name, profile, desk, study):
    payload = {
        "layers": lambda: layers.payload(profile),
        "suggestions": lambda: suggestions.payload(desk),
        "pareto": lambda: pareto.payload(study),
    }[name]()
    golden, now = written(name, payload)
    assert now == golden
