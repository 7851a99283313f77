"""The zeros of a model's parameters in sentences, as the layer table tells them."""

from __future__ import annotations

from typing import Final

from effwidgets.records import Profile, Zeros, ZerosSource
from effwidgets.views.wire import LayerZeros
from effwidgets.views.words import clip

__all__ = ["zeros"]

_WORTH_A_LINE: Final = 0.01
"""From this share on, zeros that stand in the numbers themselves are told: fewer are chance, or a padding row."""

_WHERE: Final[dict[ZerosSource, str]] = {"mask": " behind a mask", "parametrization": " behind a parametrization"}


def zeros(profile: Profile) -> LayerZeros | None:
    """Return what there is to say about zeros; None where nobody asked."""
    if not profile.zeros:
        return None
    read = _read(profile.zeros)
    entries, none = sum(one.entries for one in read), sum(one.zeros for one in read)
    told = sorted((one for one in read if _is_told(one, profile)), key=lambda one: one.zeros, reverse=True)
    share = _share(none, entries)
    return {
        "summary": f"Zeros: {none:,} of {entries:,} parameters ({share}), as the layers read them.",
        "tensors": [_sentence(one) for one in told],
    }


def _read(every: tuple[Zeros, ...]) -> list[Zeros]:
    """Return the tensors as their layers read them: what stands behind a mask or a parametrization is left out."""
    covered = {one.name for one in every if one.source != "value"}
    return [one for one in every if one.source != "value" or _reader(one.name) not in covered]


def _reader(name: str) -> str:
    # prune keeps "fc.weight_orig", a parametrization "fc.parametrizations.weight.original"; both make "fc.weight".
    before, found, after = f".{name}".rpartition(".parametrizations.")
    if found:
        return f"{before}.{after.partition('.')[0]}".removeprefix(".")
    return name.removesuffix("_orig")


def _is_told(one: Zeros, profile: Profile) -> bool:
    if one.source != "value":
        return one.zeros > 0
    return one.share >= _WORTH_A_LINE and _is_matrix(one.name, profile)


def _is_matrix(name: str, profile: Profile) -> bool:
    """Say whether it has two dimensions or more: biases begin as zeros, and no kernel multiplies by them."""
    path, _, last = name.rpartition(".")
    for layer in profile.layers:
        if layer.name == path:
            tensor = layer.tensor(last)
            return tensor is not None and len(tensor.shape) > 1
    return False


def _sentence(one: Zeros) -> str:
    fits = ", in the 2:4 pattern" if one.two_of_four == 1.0 else ""
    # A tensor that stores no zeros is counted by what it stores: for it "would" is all that can be said.
    kernel = "a dense kernel would multiply" if one.source == "value" else "its kernel multiplies"
    where = f"{_WHERE.get(one.source, '')}{fits}; {kernel} by them all the same"
    return f"{clip(one.name, 80)}: {_share(one.zeros, one.entries)} zeros{where}"


def _share(part: int, whole: int) -> str:
    percent = 100 * part / whole if whole else 0.0
    return "less than 0.1%" if 0 < percent < 0.1 else f"{percent:.1f}".removesuffix(".0") + "%"
