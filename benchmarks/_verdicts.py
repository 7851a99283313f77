"""A target and what was measured: a line that says met, or missed by how much."""

from __future__ import annotations


def verdict(what: str, measured: float, limit: float, unit: str = "") -> str:
    """Return a line; ``measured`` should be at most ``limit``."""
    said = "met" if measured <= limit else f"missed by {measured / limit - 1:.0%}"
    return f"  {what:<64} {measured:>8.2f}{unit} at most {limit:g}{unit}: {said}"
