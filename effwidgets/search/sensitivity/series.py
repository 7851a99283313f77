"""The places and the settings that are tried at each: a row for each place, a step for each point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from effwidgets.errors import UnknownNameError
from effwidgets.records import Cost, Knob, Profile, SensitivityPoint, SensitivityRow, Site, Skip, Step
from effwidgets.search.advice.places import Place, change_of, holders, places_of, step_at
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.describe import reads_of

__all__ = ["Series", "series_of", "shares_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A place with the settings to try, from weak to strong: ``row.points`` are not measured yet."""

    row: SensitivityRow
    points: tuple[SensitivityPoint, ...]


def shares_of(options: SensitivityOptions) -> tuple[float, ...]:
    """Return the shares of the largest setting that pays, the weakest step first.

    >>> shares_of(SensitivityOptions(levels=3))
    (0.75, 0.5, 0.25)
    """
    if options.shares is not None:
        return tuple(sorted(dict.fromkeys(map(float, options.shares)), reverse=True))
    return tuple(1 - level / (options.levels + 1) for level in range(1, options.levels + 1))


def series_of(profile: Profile, options: SensitivityOptions) -> tuple[list[Series], list[Skip]]:
    """Return the series at every place that was asked for, in the order of the layers, and what is left alone.

    Left out are settings that save nothing: that is arithmetic.

    Raises:
        UnknownNameError: a family, technique or layer that there is not.
    """
    places, skips = _places(profile, options)
    order = {layer.name: number for number, layer in enumerate(profile.layers)}
    for name in options.layers or ():
        if name not in order:
            raise UnknownNameError(f"layer of {profile.model}", name, order)
    series: list[Series] = []
    for place in places:
        found = _series(profile, place, shares_of(options))
        if found is None:
            site = place.site
            skips.append(
                Skip(transform=site.transform, layers=site.layers, reason="none of the settings saves anything")
            )
        elif options.layers is None or not set(options.layers).isdisjoint(found.row.unit):
            series.append(found)
    if options.layers is not None:
        skips = [skip for skip in skips if not set(options.layers).isdisjoint(skip.layers)]
    series.sort(key=lambda one: min((order.get(name, len(order)) for name in one.row.layers), default=0))
    return series, skips


def _places(profile: Profile, options: SensitivityOptions) -> tuple[list[Place], list[Skip]]:
    families = {transform.family for _, transform in TRANSFORMS.items()}
    for family in options.families or ():
        if family not in families:
            raise UnknownNameError("family of techniques", family, sorted(families))
    if options.transforms is None:
        return places_of(profile, options.families)
    places: list[Place] = []
    skips: list[Skip] = []
    for name in dict.fromkeys(options.transforms):
        transform = TRANSFORMS[name]
        if options.families is not None and transform.family not in options.families:
            continue
        try:
            for found in transform.sites(profile):
                places += [Place(transform, found)] if isinstance(found, Site) else []
                skips += [found] if isinstance(found, Skip) else []
        except Exception as error:  # noqa: BLE001  a plug-in may raise anything
            skips.append(Skip(transform=name, layers=(), reason=f"it could not look at this model: {error}"))
    return places, skips


def _series(profile: Profile, place: Place, shares: Sequence[float]) -> Series | None:
    site = place.site
    numeric = [knob for knob in site.knobs if knob.kind != "choice"]
    steps = dict.fromkeys(step_at(place, share) for share in (shares if numeric else shares[:1]))
    known = {step: change_of(profile, step) for step in steps}
    paying = [(step, change) for step, change in known.items() if change is not None and _pays(place, change)]
    if not paying:
        return None
    unit = _unit(profile, place, paying[0][0])
    cost = _cost(profile, unit)
    points = [
        SensitivityPoint(step=step, kept=_kept(cost, change, step, numeric), change=change) for step, change in paying
    ]
    points.sort(key=lambda point: -point.kept)
    row = SensitivityRow(
        transform=site.transform,
        layers=site.layers,
        family=place.transform.family,
        unit=tuple(layer.name for layer in profile.layers if layer.name in unit),
        cost=cost,
        found=site.reason,
        planned=len(points),
    )
    return Series(row=row, points=tuple(points))


def _unit(profile: Profile, place: Place, step: Step) -> frozenset[str]:
    # A group has the name of a layer: only one who removes channels of it means all its members.
    return holders(profile, step) if "groups" in reads_of(place.transform) else frozenset(step.layers)


def _pays(place: Place, change: Cost) -> bool:
    # What changes how numbers are kept may save only bytes of a file, which no arithmetic tells.
    saves = min(change.macs, change.params, change.param_bytes, change.saved_bytes) < 0
    return saves or place.transform.phase == "format"


def _cost(profile: Profile, unit: Iterable[str]) -> Cost:
    total = Cost()
    inside = tuple(f"{name}." for name in unit)
    for layer in profile.layers:
        if layer.name in unit or layer.name.startswith(inside):
            total += layer.self_cost
    return total


def _kept(cost: Cost, change: Cost, step: Step, knobs: Sequence[Knob]) -> float:
    for whole, less in ((cost.macs, change.macs), (cost.params, change.params), (cost.param_bytes, change.param_bytes)):
        if whole and less:
            return max(0.0, 1 + less / whole)
    shares = list(_shares_left(step, knobs))
    return sum(shares) / len(shares) if shares else 1.0


def _shares_left(step: Step, knobs: Sequence[Knob]) -> Iterator[float]:
    # Where nothing is saved that arithmetic tells: bits and ranks say what is left, shares what is taken.
    values = dict(step.settings)
    for knob in knobs:
        value = values.get(knob.name)
        if isinstance(value, int | float) and knob.high:
            yield value / knob.high if knob.kind == "int" else 1 - value
