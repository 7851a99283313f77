"""Settings from one end of the knobs of a site to the other."""

from __future__ import annotations

from effwidgets.records import Settings, Site, settings

__all__ = ["settings_of"]


def settings_of(site: Site) -> list[Settings]:
    """Return settings of ``site`` from the lowest of all its knobs over middle and break-even to the highest."""
    found: list[Settings] = []
    for place in ("low", "middle", "even", "high"):
        values: dict[str, object] = {}
        for knob in site.knobs:
            low, high = knob.low or 0, knob.high or 0
            value = {"low": low, "middle": (low + high) / 2, "even": knob.break_even or high, "high": high}[place]
            whole = max(int(low), int(value) // knob.multiple * knob.multiple)
            values[knob.name] = whole if knob.kind == "int" else value
            if knob.kind == "choice":
                values[knob.name] = knob.choices[len(found) % len(knob.choices)]
        if settings(values) not in found:
            found.append(settings(values))
    return found
