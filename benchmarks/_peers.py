"""What others do to make a model smaller, each with its best chance: 160 evaluations, ten models to train.

- Torch-Pruning (https://github.com/VainF/Torch-Pruning): ladders of L2 group importance, global and isomorphic, batch
  norms estimated anew. On the transformer the sizes of heads shrink, and in a second ladder whole heads go as well.
- Uniform ladders: every layer split at the same share of its full rank, by spatial SVD for convolutions with a kernel
  (Jaderberg et al. 2014), by SVD for the rest, batch norms estimated anew.
- Greedy common score, as AIMET's documentation describes it: each layer is split alone at each ratio and judged; of the
  fits, which are made monotone, a common score then gives each layer the smallest ratio that still reaches it; the
  common score of a budget is found by bisection. Judged by the smooth loss: accuracy on 350 pictures is too coarse.
- Random search and NSGA-II over our own space of plans, from near-dense to small, batch norms estimated anew; as rows
  of information the same with our repair without labels.

Every method gives all that it made; which ten are handed in is decided by `pick` for all alike, on validation data.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import nn

from benchmarks._box import Arena, Axis, latencies

if TYPE_CHECKING:
    from effwidgets.records import Profile
    from effwidgets.search.selection.space import Space

__all__ = ["BY_AXIS", "INFORMATION", "PEERS"]

Peer: TypeAlias = Callable[[Arena, Axis], None]

_RUNGS: Final = 40
_FARTHEST: Final = 0.97
_RATIOS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BISECTIONS: Final = 40
_POPULATION: Final = 20


# Torch-Pruning


def torch_pruning(arena: Arena, *, isomorphic: bool) -> None:
    for rung, model in enumerate(narrowed(arena, isomorphic=isomorphic)):
        arena.enter(arena.restored(model), str(rung))
    if any(hasattr(part, "heads") for part in arena.dense.modules()):
        for rung in range(1, _RUNGS + 1):
            fewer = with_fewer_heads(arena, _FARTHEST * rung / _RUNGS, isomorphic=isomorphic)
            if fewer is not None:
                arena.enter(arena.restored(fewer), f"{rung} heads")


def narrowed(arena: Arena, *, isomorphic: bool) -> Iterator[nn.Module]:
    """Yield ever smaller models: one pruner in 40 steps, a copy after each, as long as what it leaves runs.

    In steps, since the peer leaves a group whole that it should take all channels of: pruned at once to a high ratio,
    the global ladder comes out larger than at a low one.
    """
    model = arena.copy()
    pruner = pruner_of(model, arena, ratio=_FARTHEST, isomorphic=isomorphic, iterative_steps=_RUNGS)
    for _ in range(_RUNGS):
        pruner.step()
        if not runs(model, arena):
            return
        yield copy.deepcopy(model)


def with_fewer_heads(arena: Arena, ratio: float, *, isomorphic: bool) -> nn.Module | None:
    """Return a model that lost whole heads too, at once: in steps this peer raises. None where one does not run."""
    model: Any = arena.copy()
    pruner = pruner_of(
        model,
        arena,
        ratio=ratio,
        isomorphic=isomorphic,
        head_pruning_ratio=ratio,
        prune_num_heads=True,
        prune_head_dims=False,
    )
    pruner.step()
    for part in model.modules():
        if hasattr(part, "heads"):
            part.heads = pruner.num_heads[part.query]
    return model if runs(model, arena) else None


def pruner_of(model: Any, arena: Arena, *, ratio: float, isomorphic: bool, **others: object) -> Any:
    import torch_pruning as tp

    attentions = [part for part in model.modules() if hasattr(part, "heads")]
    return tp.pruner.BasePruner(
        model,
        arena.task.inputs,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        isomorphic=isomorphic,
        pruning_ratio=ratio,
        ignored_layers=[model.head],
        num_heads={layer: part.heads for part in attentions for layer in (part.query, part.key, part.value)},
        unwrapped_parameters=[(model.position, 2)] if hasattr(model, "position") else None,  # 2: the channels
        **others,
    )


def runs(model: nn.Module, arena: Arena) -> bool:
    try:
        with torch.no_grad():
            model.eval()(arena.task.inputs)
    except RuntimeError:  # a layer without channels
        return False
    return True


# Singular values


def split_layers(model: nn.Module) -> list[str]:
    """Return the layers that are split: all but the first and the last, where a rank saves something."""
    found = [name for name, part in model.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    return [name for name in found[1:-1] if full_rank(model.get_submodule(name)) > 1]


def full_rank(layer: nn.Module) -> int:
    """Return the largest rank at which the split layer has fewer MACs, 0 where there is none."""
    if isinstance(layer, nn.Conv2d):
        out, into, high, wide = layer.weight.shape
        if high * wide > 1:
            # The first factor runs at the full width of a strided layer.
            return (out * into * high * wide - 1) // (into * high * layer.stride[1] + out * wide)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    out, into = layer.weight.shape[:2]
    return (out * into - 1) // (out + into)


def split(layer: nn.Module, rank: int) -> nn.Sequential:
    """Return two layers of which the product is the best approximation of that rank."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    weight, bias = layer.weight.detach(), layer.bias is not None
    first: nn.Conv2d | nn.Linear
    second: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Linear):
        left, middle, right = torch.linalg.svd(weight, full_matrices=False)
        first = nn.Linear(layer.in_features, rank, bias=False)
        second = nn.Linear(rank, layer.out_features, bias=bias)
        shapes: tuple[tuple[int, ...], tuple[int, ...]] = (tuple(first.weight.shape), tuple(second.weight.shape))
        one, two = right[:rank], left[:, :rank]
    else:
        out, into, high, wide = weight.shape
        down, across = layer.stride
        assert not isinstance(layer.padding, str)
        top, side = layer.padding
        flat = weight.permute(1, 2, 0, 3).reshape(into * high, out * wide)
        left, middle, right = torch.linalg.svd(flat, full_matrices=False)
        first = nn.Conv2d(into, rank, (high, 1), (down, 1), (top, 0), bias=False)
        second = nn.Conv2d(rank, out, (1, wide), (1, across), (0, side), bias=bias)
        one = left[:, :rank].T.reshape(rank, into, high, 1)
        two = right[:rank].reshape(rank, out, wide).permute(1, 0, 2).reshape(out, rank, 1, wide)
        shapes = (tuple(one.shape), tuple(two.shape))
    root = middle[:rank].sqrt()
    with torch.no_grad():
        first.weight.copy_((one.flatten(1) * root[:, None]).view(shapes[0]))
        scaled = two * root.view(1, -1, *(1,) * (two.dim() - 2))
        second.weight.copy_(scaled)
        if layer.bias is not None and second.bias is not None:
            second.bias.copy_(layer.bias)
    return nn.Sequential(first, second)


def with_ranks(arena: Arena, ranks: Mapping[str, int]) -> nn.Module:
    """Return a copy with layers split, batch norms estimated anew."""
    model = arena.copy()
    for name, rank in ranks.items():
        model.set_submodule(name, split(model.get_submodule(name), rank))
    return arena.restored(model)


def rank_at(model: nn.Module, name: str, ratio: float) -> int:
    return max(1, round(ratio * full_rank(model.get_submodule(name))))


def uniform(arena: Arena) -> None:
    names = split_layers(arena.dense)
    seen = set()
    for rung in range(1, _RUNGS + 1):
        ranks = {name: rank_at(arena.dense, name, rung / _RUNGS) for name in names}
        if tuple(ranks.values()) not in seen:
            seen.add(tuple(ranks.values()))
            arena.enter(with_ranks(arena, ranks), str(rung))


def greedy(arena: Arena) -> None:
    names = split_layers(arena.dense)
    # As many ratios as leave thirty evaluations for the plans.
    most = max(2, min(len(_RATIOS), (arena.left - 30) // len(names)))
    ratios = [_RATIOS[round(place * (len(_RATIOS) - 1) / (most - 1))] for place in range(most)]
    table = {name: fitted([_alone(arena, name, ratio) for ratio in ratios]) for name in names}
    losses = [loss for row in table.values() for loss in row]
    dense = arena.task.marks(arena.dense, "validation").loss
    sizes = sizes_of(arena)
    seen: set[tuple[float | None, ...]] = set()
    for goal in (0.9 * (place + 0.5) / _BISECTIONS for place in range(_BISECTIONS)):
        found = common(partial(_fits, arena, sizes, goal), table, ratios, (min(*losses, dense), max(losses)))
        if tuple(found.values()) in seen or not arena.left:
            continue
        seen.add(tuple(found.values()))
        ranks = {name: rank_at(arena.dense, name, ratio) for name, ratio in found.items() if ratio is not None}
        arena.enter(with_ranks(arena, ranks), f"{goal:.2f}")


def _fits(arena: Arena, sizes: Mapping[str, float], goal: float, ratios: Mapping[str, float | None]) -> bool:
    return cost_of(arena, sizes, ratios) <= goal


def _alone(arena: Arena, name: str, ratio: float) -> float:
    return arena.look(with_ranks(arena, {name: rank_at(arena.dense, name, ratio)})).loss


def fitted(losses: Sequence[float]) -> list[float]:
    """Return the nearest row, by least squares, that never rises with the ratio: neighbours in disorder are pooled.

    >>> fitted([3.0, 1.0, 2.0, 0.5])
    [3.0, 1.5, 1.5, 0.5]
    """
    pools: list[tuple[float, int]] = []
    for loss in losses:
        pools.append((loss, 1))
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            (one, many), (two, more) = pools.pop(-2), pools.pop()
            pools.append(((one * many + two * more) / (many + more), many + more))
    return [loss for loss, count in pools for _ in range(count)]


def common(
    fits: Callable[[Mapping[str, float | None]], bool],
    table: Mapping[str, Sequence[float]],
    ratios: Sequence[float],
    ends: tuple[float, float],
) -> dict[str, float | None]:
    """Return the ratio of each layer, None where it stays, by the best common score of which the model fits."""
    low, high = ends
    chosen = at_score(table, ratios, high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        trial = at_score(table, ratios, middle)
        if fits(trial):
            chosen, high = trial, middle
        else:
            low = middle
    return chosen


def at_score(table: Mapping[str, Sequence[float]], ratios: Sequence[float], loss: float) -> dict[str, float | None]:
    """Return for each layer the smallest ratio of which the loss, alone, is at most ``loss``."""
    return {
        name: next((ratio for ratio, found in zip(ratios, row, strict=True) if found <= loss), None)
        for name, row in table.items()
    }


def sizes_of(arena: Arena) -> dict[str, float]:
    """Return the MACs of each layer as a share of all."""
    from effwidgets import profile

    found = profile(arena.dense, arena.task.inputs)
    return {layer.name: layer.self_cost.macs / found.cost.macs for layer in found.layers}


def cost_of(arena: Arena, sizes: Mapping[str, float], ratios: Mapping[str, float | None]) -> float:
    """Return the MACs of a plan as a share of the dense model's."""

    def kept(name: str, ratio: float) -> float:
        return rank_at(arena.dense, name, ratio) / (full_rank(arena.dense.get_submodule(name)) + 1)

    return 1 - sum(sizes[name] * (1 - kept(name, ratio)) for name, ratio in ratios.items() if ratio is not None)


# Samplers over our own space


def sampled(arena: Arena, axis: Axis, *, evolved: bool, repair: bool | tuple[str, ...]) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, found = our_space(arena)
    samplers: Mapping[bool, Callable[[], Any]] = {
        True: lambda: optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=arena.seed),
        False: lambda: optuna.samplers.RandomSampler(seed=arena.seed),
    }
    study = optuna.create_study(directions=["minimize"] * 2, sampler=samplers[evolved]())
    whole = latencies({0: arena.dense}, arena.task.inputs)[0]
    dice = random.Random(arena.seed)  # noqa: S311  no secret
    for _ in range(_POPULATION if evolved else arena.left):
        study.enqueue_trial(drawn(space, dice))
    while arena.left:
        trial = study.ask()
        params = {name: trial.suggest_int(name, 0, space.choices(name) - 1) for name in space.names}
        model = carried_out(arena, found, space, params, repair=repair)
        if model is None:  # counted, as it cost the method its try
            arena.spent += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        made = arena.enter(model, str(trial.number))
        cost = made.macs if axis == "macs" else latencies({0: model}, arena.task.inputs, 5)[0] / whole
        study.tell(trial, (made.marks.loss, cost))


def drawn(space: Space, dice: random.Random) -> dict[str, int]:
    """Return settings drawn up to a strength that is drawn first.

    With each place drawn evenly by itself, every model of many places would be a small one: none near the dense model.
    """
    strength = dice.random()
    return {name: int(dice.random() * (1 + strength * (space.choices(name) - 1))) for name in space.names}


def our_space(arena: Arena) -> tuple[Space, Profile]:
    from effwidgets import Call
    from effwidgets.search.selection.seeds import seeds
    from effwidgets.search.selection.space import Space
    from effwidgets.transforms.calibration import calibration_of

    call = Call((arena.task.inputs,))
    found = seeds(arena.copy(), call, calibration=calibration_of(arena.task.calibration()), most=4)
    return Space(found.options, found.profile), found.profile


def carried_out(
    arena: Arena, found: Profile, space: Space, params: Mapping[str, int], *, repair: bool | tuple[str, ...]
) -> nn.Module | None:
    from effwidgets import EffError
    from effwidgets.transforms.apply import apply

    data = arena.task.calibration()
    try:
        made = apply(arena.dense, space.plan(params), arena.task.inputs, calibration=data, repair=repair, known=found)
    except EffError:
        return None
    return made.model.eval()


PEERS: Final[Mapping[str, Peer]] = {
    "torch-pruning global": lambda arena, _: torch_pruning(arena, isomorphic=False),
    "torch-pruning isomorphic": lambda arena, _: torch_pruning(arena, isomorphic=True),
    "uniform svd": lambda arena, _: uniform(arena),
    "greedy common score": lambda arena, _: greedy(arena),
    "random": lambda arena, axis: sampled(arena, axis, evolved=False, repair=("batch_norm",)),
    "nsga2": lambda arena, axis: sampled(arena, axis, evolved=True, repair=("batch_norm",)),
}

INFORMATION: Final[Mapping[str, Peer]] = {
    "random, our repair": lambda arena, axis: sampled(arena, axis, evolved=False, repair=True),
    "nsga2, our repair": lambda arena, axis: sampled(arena, axis, evolved=True, repair=True),
}
"""Rows beside the peers: they have part of what is ours."""

BY_AXIS: Final = ("nsga2", "nsga2, our repair")
"""Those whose candidates depend on the cost that is asked for."""
