"""Another counter's numbers on our tree of layers: own, with everything below, and why they differ from ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from effwidgets.reconcile.ledger import Work
from effwidgets.reconcile.settle import Items, settle
from effwidgets.reconcile.side import Side
from effwidgets.records.profiles import LayerProfile
from effwidgets.records.reconciliation import UNEXPLAINED, PeerLayer

__all__ = ["peer_layers"]


def peer_layers(
    layers: Sequence[LayerProfile], works: Sequence[Work], side: Side, *, backward: bool, has_backward: bool
) -> tuple[PeerLayer, ...]:
    """Put both counts beside each other.

    Args:
        layers: those of our profile, parents before children.
        works: every operation of our own run.
        side: the other counter.
        backward: whether the backward is part of our count.
        has_backward: whether the other counter counts one.
    """
    own = {layer.name: layer.self_cost.macs + backward * layer.self_cost.backward_macs for layer in layers}
    ours = {layer.name: layer.cost.macs + backward * layer.cost.backward_macs for layer in layers}
    own_items = settle(works, own, side, has_backward=has_backward)
    theirs, items = _upwards(ours, own_items, side)
    return tuple(
        PeerLayer(
            layer=layer.name,
            kind=layer.kind,
            printed_as=side.names.get(layer.name) if layer.name in side.whole else None,
            ours=ours[layer.name],
            theirs=theirs[layer.name],
            own_ours=own[layer.name],
            own_theirs=side.own.get(layer.name, 0),
            items=items[layer.name].records(),
            own_items=own_items[layer.name].records(),
        )
        for layer in layers
    )


def _upwards(
    ours: Mapping[str, int], own_items: Mapping[str, Items], side: Side
) -> tuple[dict[str, int], dict[str, Items]]:
    """Return their number with everything below and its items, for each layer."""
    moved = _moved(side)
    theirs: dict[str, int] = {}
    below: dict[str, Items] = {path: Items() for path in ours}  # of all own work below
    items: dict[str, Items] = {path: Items() for path in ours}
    children: dict[str, list[str]] = defaultdict(list)
    for path in reversed(list(ours)):
        if path:
            children[path.rpartition(".")[0]].append(path)
        below[path].join(own_items[path])
        for child in children[path]:
            below[path].join(below[child])
        items[path].join(own_items[path] if path not in side.whole else below[path])
        if path in side.whole:
            theirs[path] = side.whole[path]
            items[path].join(moved[path])
        else:  # they print no row: what stands below is added up
            theirs[path] = side.own.get(path, 0) + sum(theirs[child] for child in children[path])
            for child in children[path]:
                items[path].join(items[child])
        items[path].add(UNEXPLAINED, "", ours[path] - theirs[path] - items[path].macs)
    return theirs, items


def _moved(side: Side) -> dict[str, Items]:
    """Return what they count for a layer that is not the work of what stands below it, and the other way round."""
    paths: dict[str, list[str]] = defaultdict(list)
    for path, name in side.names.items():
        paths[name].append(path)
    found: dict[str, Items] = defaultdict(Items)
    for work in side.works:
        if not work.credited:
            continue
        credited = {path for name in work.credited for path in paths.get(name, ())}
        standing = _upper(work.layer)
        reason = "hooks" if work.backward else "caller"
        for path in standing - credited:
            found[path].add(reason, work.op, work.theirs)
        for path in credited - standing:
            found[path].add(reason, work.op, -work.theirs)
    return found


def _upper(path: str) -> set[str]:
    found = {path, ""}
    while path:
        path = path.rpartition(".")[0]
        found.add(path)
    return found
