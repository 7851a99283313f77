"""What every view that is not live promises."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from effwidgets.records import VIEWS, Record, View

__all__ = ["HOSTILE", "ViewContract", "hostile"]

HOSTILE = "<script>alert('effwidgets')</script>"
"""A name that a page must never carry as markup."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class ViewContract:
    """The promises of a view that is not live. It must be registered."""

    view: View

    def check(self, record: Record) -> object:
        """Check them on one record and return what was drawn."""
        assert any(view is self.view for _, view in VIEWS.items()), "it is not registered"
        assert isinstance(record, self.view.shows), f"it shows {self.view.shows.__name__}, not {type(record).__name__}"
        before = json.dumps(record.to_dict())
        drawn = self.view.draw(record)
        assert json.dumps(record.to_dict()) == before, "drawing changed the record"
        if self.view.medium == "figure":
            assert hasattr(drawn, "to_plotly_json"), f"a {type(drawn).__name__} is no plotly figure"
        if self.view.medium in ("text", "html"):
            assert isinstance(drawn, str), f"it draws {type(drawn).__name__}; text was expected"
            assert self.view.draw(record) == drawn, "it draws otherwise the second time"
        if self.view.medium == "html":
            page = self.view.draw(hostile(record))
            assert HOSTILE not in page, "a layer name reaches the page as markup"
            assert "&lt;script&gt;" in page, "no layer name is shown, so that nothing about escaping was seen"
        return drawn


_PATHS = ("name", "aliases", "layer", "layers", "tied_to", "inference_peak_at", "training_peak_at")
_SENTENCES = ("model", "title", "headline", "reason", "warnings", "text", "notes", "message", "note", "obstacle")
_SPOILED = frozenset((*_PATHS, *_SENTENCES))


def hostile(record: R) -> R:
    """Return the record with a script tag behind every part of every name and sentence in it."""
    return type(record).from_dict(_spoiled(record.to_dict(), spoil=False))


def _spoiled(value: Any, *, spoil: bool) -> Any:
    if isinstance(value, dict):
        return {key: _spoiled(item, spoil=key in _SPOILED) for key, item in value.items()}
    if isinstance(value, list):
        return [_spoiled(item, spoil=spoil) for item in value]
    if not spoil or not isinstance(value, str) or not value:
        return value
    return ".".join(
        part + HOSTILE for part in value.split(".")
    )  # a layer's parent is still the one before its last dot
