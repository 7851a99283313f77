"""Layers whose channels must change together, and why some may not change at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from effwidgets.profiling.calls import Call
from effwidgets.profiling.coupling.followed import follow
from effwidgets.profiling.coupling.rehearsal import rehearse
from effwidgets.profiling.shadow import Shadow
from effwidgets.records import Group

__all__ = ["confirmed", "coupling_of", "groups_of", "unknown"]


def groups_of(shadow: Shadow, call: Call) -> tuple[Group, ...]:
    """Return the groups of layers whose channels change together, in the order of the forward; never raises.

    Each group has the layers that make its channels (side "out"), the layers that keep one number for each channel
    (norms, depthwise convolutions; side "out" too), and the layers that read them (side "in").
    """
    return coupling_of(shadow, call)[0]


def coupling_of(shadow: Shadow, call: Call, *, second: bool = True) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups, and notes on what could not be found out; ``second``: ask torch-pruning too."""
    training = [(module, module.training) for module in shadow.model.modules()]
    shadow.model.eval()
    try:
        groups, soft = follow(shadow, call)
        return confirmed(groups, soft, shadow, call, second=second)
    except Exception as error:  # noqa: BLE001  anybody's forward; a profile without groups is still a profile
        return (), (unknown(error),)
    finally:
        for module, flag in training:
            module.training = flag


def confirmed(
    groups: tuple[Group, ...], soft: Mapping[str, tuple[str, ...]], shadow: Shadow, call: Call, *, second: bool
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups, barred where a rehearsal of them fails, and notes; never raises.

    Args:
        groups: as they were found.
        soft: by the name of a group, the layers whose forward cuts its channels by numbers: these are always tried.
        shadow: what the groups are of; left as it is.
        call: what it is called with.
        second: try all groups, and ask torch-pruning too: what it names otherwise is barred.
    """
    try:
        groups = rehearse(shadow, call, groups, soft, every=second)
    except Exception as error:  # noqa: BLE001  anybody's modules, copied and cut
        groups = tuple(
            group if group.obstacle or group.name not in soft else replace(group, obstacle=_untried(error))
            for group in groups
        )
    if not second:
        return groups, ()
    from effwidgets.profiling.coupling.opinion import second_opinion

    return second_opinion(shadow, call, groups)


def _untried(error: Exception) -> str:
    return f"whether its forward follows when channels go could not be tried ({type(error).__name__}: {error!s:.80})"


def unknown(error: Exception) -> str:
    """Say why the groups are not known."""
    reason = str(error).partition("\n")[0][:160]
    return f"Which layers' channels change together is not known ({type(error).__name__}: {reason})."
