"""A second opinion on which channels change together: torch-pruning's dependency graph, behind this adapter.

Our own flow bars what it does not know; torch-pruning takes what it does not know for element by element. Where both
name the same layers a group stands; where they differ it is left alone, and says so.

It is not asked where it is known to be wrong: attention heads (it is told of them, it does not find them), convolutions
in groups (its indices are not balanced over the blocks), shuffles and pixel shuffles, and layers that make the same
channels several times (a gate and its value). Those groups were rehearsed on the shadow, which it does not do. Of the
others, members that it does not name as we do are left out of the comparison: root mean square norms and parameters of
modules' own. What it cannot follow at all (frozen parameters without gradients are made to ask for them here) becomes a
note.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from effwidgets.profiling.calls import Call, run, tensors_in
from effwidgets.profiling.shadow import Shadow, copy_tree
from effwidgets.records import Group

__all__ = ["second_opinion"]

Held: TypeAlias = frozenset[tuple[str, str, int]]
"""Layer, side, and how many of its entries on that side."""

_KINDS: Final = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding, nn.LayerNorm, nn.modules.batchnorm._BatchNorm)


def second_opinion(shadow: Shadow, call: Call, groups: tuple[Group, ...]) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups, barred where torch-pruning names other layers; and a note when it cannot follow the model."""
    if all(group.obstacle or _beyond_it(group) for group in groups):
        return groups, ()
    try:
        graph, paths = _graph(shadow, call)
    except Exception as error:  # noqa: BLE001  it raises bare exceptions of many kinds on models it cannot follow
        reason = str(error).partition("\n")[0][:120]
        note = f"torch-pruning cannot follow this model ({type(error).__name__}: {reason}); the groups are ours alone."
        return groups, (note,)
    return tuple(
        group if group.obstacle or _beyond_it(group) else _compared(group, graph, paths) for group in groups
    ), ()


def _beyond_it(group: Group) -> bool:
    makers = [member.layer for member in group.members if member.side == "out"]
    rows = any(member.repeat > 1 for member in group.members if member.side == "out")
    return group.kind == "heads" or group.blocks > 1 or rows or len(set(makers)) < len(makers)


def _graph(shadow: Shadow, call: Call) -> tuple[Any, dict[str, nn.Module]]:
    import torch_pruning

    given = shadow.fake(call)
    # Its tracing leaves hooks behind when it fails, and sees only parameters that ask for gradients: a copy, then.
    with torch.inference_mode(mode=False), shadow.mode, torch.enable_grad():
        twin = copy_tree(shadow.model, _trainable).eval()
        graph = torch_pruning.DependencyGraph()
        shadow.mode.cache_enabled = True  # nothing is counted here, and it takes a quarter of the time
        try:
            graph.build_dependency(twin, given, forward_fn=run, output_transform=_ends, verbose=False)
        finally:
            shadow.mode.cache_enabled = False
    return graph, dict(twin.named_modules())


def _ends(outputs: Any) -> list[torch.Tensor]:
    return [tensor for tensor in tensors_in(outputs) if tensor.requires_grad]


def _trainable(tensor: torch.Tensor) -> torch.Tensor:
    if not isinstance(tensor, nn.Parameter):
        return tensor
    return nn.Parameter(tensor.detach(), requires_grad=tensor.is_floating_point())


def _compared(group: Group, graph: Any, paths: dict[str, nn.Module]) -> Group:
    ours = frozenset(
        (member.layer, member.side, member.repeat * group.channels)
        for member in group.members
        if isinstance(paths[member.layer], _KINDS)
    )
    theirs = _theirs(group, graph, paths)
    if theirs is None or theirs == ours:
        return group
    odd = ", ".join(sorted({layer for layer, _, _ in ours ^ theirs})[:4])
    return replace(group, obstacle=f"torch-pruning's dependency graph and ours differ about {odd}")


def _theirs(group: Group, graph: Any, paths: dict[str, nn.Module]) -> Held | None:
    maker = paths[group.name]
    names = {id(module): path for path, module in paths.items()}
    try:
        pruner = graph.get_pruner_of_module(maker)
        found = graph.get_pruning_group(maker, pruner.prune_out_channels, list(range(group.channels)))
    except Exception:  # noqa: BLE001  a layer that no output depends on is not in its graph
        return None
    held = set()
    for dependency, entries in found:
        module = dependency.target.module
        if isinstance(module, _KINDS):
            side = "out" if graph.is_out_channel_pruning_fn(dependency.handler) else "in"
            held.add((names[id(module)], side, len(entries)))
    return frozenset(held)
