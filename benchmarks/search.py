"""Whole searches on three small real tasks, ours beside the peers', and what is handed in measured on unseen data.

Same dense model, data, calibration inputs, number of evaluations (160), models handed in (10) and epochs of
distillation (3); the dense model gets the same fine-tuning. Selection sees validation data only. What is measured is
the share of the box from a floor of 0.5 to a score of 1 and from 0 to the dense model's cost that the models dominate
on the test split:

    zero-shot   the ten before they are trained
    tuned       the ten after three epochs
    picked      of both, those that nobody beats on validation data
    latency     as picked, with the measured time of a batch of 32 on one thread as the cost: the median of shuffled,
                interleaved repeats. Each method hands in ten other models for it, chosen by measured time.

Claims: ours leaves at most half of the hypervolume that the best peer leaves over (geometric mean over the tasks), and
by measured time it has at least 1.4 times the best peer's. Exits with 1 when one fails, or when parts are missing.

    python -m benchmarks.search [--seeds 5] [--tasks cnn,vit] [--methods ours,random] [--table]

Each part (task, seed, method) is a line in ``build/bench-search/``: an interrupted run goes on, several processes may
share the parts by ``--tasks``, ``--methods`` or ``--only-seeds``, and ``--table`` prints what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from benchmarks._box import AXES, EVALUATIONS, HANDED_IN, Arena, Axis, latencies, pick, picked, share
from benchmarks._ours import ours
from benchmarks._peers import BY_AXIS, INFORMATION, PEERS
from benchmarks._tasks import TASKS, Task

RESULTS: Final = Path(__file__).resolve().parents[1] / "build" / "bench-search"
OURS: Final = "ours"
DENSE: Final = "dense"
LOST: Final = 0.5
FASTER: Final = 1.4
METHODS: Final = (DENSE, *PEERS, *INFORMATION, OURS)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handed:
    """A model that a method hands in, before and after it was trained."""

    label: str
    before: nn.Module
    after: nn.Module


def peer_models(arena: Arena, method: str) -> dict[Axis, list[Handed]]:
    found: dict[Axis, list[Handed]] = {}
    known: dict[int, nn.Module] = {}
    for axis in AXES:
        if not arena.made or method in BY_AXIS:
            arena.made.clear()
            arena.spent = 0
            known.clear()
            {**PEERS, **INFORMATION}[method](arena, axis)
        losses = [made.marks.loss for made in arena.made]
        places = pick([made.macs for made in arena.made] if axis == "macs" else times(arena), losses)
        for place in places:
            if place not in known:  # models of both lists are trained once
                known[place] = arena.tuned(arena.made[place].model, place)
        found[axis] = [
            Handed(label=arena.made[place].label, before=arena.made[place].model, after=known[place])
            for place in places
        ]
    return found


def times(arena: Arena) -> list[float]:
    models = {-1: arena.dense, **{place: made.model for place, made in enumerate(arena.made)}}
    found = latencies(models, arena.task.inputs, 5)
    return [found[place] / found[-1] for place in range(len(arena.made))]


def our_models(arena: Arena, axes: Sequence[Axis]) -> dict[Axis, list[Handed]]:
    return {
        axis: [Handed(label=label, before=before, after=after) for label, before, after in ours(arena, axis)]
        for axis in axes
    }


def dense_models(arena: Arena) -> dict[Axis, list[Handed]]:
    after = arena.tuned(arena.dense, 0)
    return {axis: [Handed(label=DENSE, before=arena.dense, after=after)] for axis in AXES}


def part(task: Task, seed: int, method: str, axes: Sequence[Axis] = AXES) -> Row:
    started, spent = time.perf_counter(), time.process_time()
    arena = Arena(task=task, seed=seed, dense=task.dense(seed))
    made = (
        our_models(arena, axes)
        if method == OURS
        else dense_models(arena)
        if method == DENSE
        else peer_models(arena, method)
    )
    row: Row = {"task": task.name, "seed": seed, "method": method, "digest": digest()}
    for axis, models in made.items():
        assert len(models) <= HANDED_IN
        row[axis] = judged(arena, axis, models)
    return {**row, "seconds": time.perf_counter() - started, "cpu_s": time.process_time() - spent}


def judged(arena: Arena, axis: Axis, models: Sequence[Handed]) -> list[Row]:
    if axis == "macs":
        costs = [(arena.macs(one.before), arena.macs(one.after)) for one in models]
    else:
        timed = {-1: arena.dense}
        for place, one in enumerate(models):
            timed |= {2 * place: one.before, 2 * place + 1: one.after}
        found = latencies(timed, arena.task.inputs)
        costs = [(found[2 * place] / found[-1], found[2 * place + 1] / found[-1]) for place in range(len(models))]
    return [
        {"label": one.label, "before": marks(arena.task, one.before, low), "after": marks(arena.task, one.after, high)}
        for one, (low, high) in zip(models, costs, strict=True)
    ]


def marks(task: Task, model: nn.Module, cost: float) -> Row:
    seen, unseen = task.marks(model, "validation"), task.marks(model, "test")
    return {"cost": cost, "score": seen.score, "loss": seen.loss, "test": unseen.score}


# What comes out of the rows


def volumes(row: Row, axis: Axis, floor: float) -> dict[str, float]:
    models = row[axis]
    both = [model[when] for model in models for when in ("before", "after")]
    kept = picked(*([one[what] for one in both] for what in ("cost", "score", "loss")))

    def volume(ones: Sequence[Row]) -> float:
        return share([(one["cost"], one["test"]) for one in ones], floor)

    return {
        "zero-shot": volume([model["before"] for model in models]),
        "tuned": volume([model["after"] for model in models]),
        "picked": volume([both[place] for place in kept]),
    }


def rows(seeds: int) -> Iterator[Row]:
    """Yield the parts that were done with the present tasks, of seeds below ``seeds``; of one done twice the last.

    One of which the two axes were done apart is put together.
    """
    found: dict[tuple[str, int, str], Row] = {}
    for path in sorted(RESULTS.glob("*.jsonl"), key=lambda path: path.stat().st_mtime):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # a run that was killed while it wrote
                continue
            if row["digest"] == digest() and row["seed"] < seeds:
                key = row["task"], row["seed"], row["method"]
                other = {} if all(axis in row for axis in AXES) else found.get(key, {})
                if not any(axis in other and axis in row for axis in AXES):
                    row["cpu_s"] += other.get("cpu_s", 0.0)
                found[key] = {**other, **row}
    yield from (row for row in found.values() if all(axis in row for axis in AXES))


@cache
def digest() -> str:
    return hashlib.sha256((Path(__file__).parent / "_tasks.py").read_bytes()).hexdigest()[:10]


def table(seeds: int) -> bool:
    """Print the table; return whether the claims hold for all tasks and seeds."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows(seeds):
        found.setdefault((row["task"], row["method"]), []).append(row)
    means: dict[tuple[str, str], dict[str, float]] = {}
    for (name, method), held in found.items():
        floor = TASKS[name].floor
        by_macs = [volumes(row, "macs", floor) for row in held]
        by_time = [volumes(row, "latency_s", floor)["picked"] for row in held]
        means[name, method] = {
            **{what: statistics.mean(one[what] for one in by_macs) for what in by_macs[0]},
            "spread": statistics.stdev(one["picked"] for one in by_macs) if len(by_macs) > 1 else math.nan,
            "latency": statistics.mean(by_time),
            "seeds": len(held),
            "cpu_s": statistics.mean(row["cpu_s"] for row in held),
        }
    print("hypervolume of the test score over MACs: zero-shot, tuned, picked (± over seeds); picked over measured time")
    for name, task in TASKS.items():
        print(f"{name}: {task.metric}, floor {task.floor:g}")
        for row in found.get((name, DENSE), []):
            print(f"  dense, seed {row['seed']}: test {row['macs'][0]['before']['test']:.4f}", end="")
            print(f", after the same fine-tuning {row['macs'][0]['after']['test']:.4f}")
        for method in METHODS[1:]:
            if (name, method) in means:
                one = means[name, method]
                aside = " (information)" if method in INFORMATION else ""
                print(
                    f"  {method + aside:<34}{one['zero-shot']:>7.3f}{one['tuned']:>7.3f}{one['picked']:>7.3f} "
                    f"± {one['spread']:.3f}   time {one['latency']:.3f}   {one['seeds']:.0f} seeds, "
                    f"{one['cpu_s']:.0f} s each"
                )
    return claims(means, seeds)


def claims(means: Mapping[tuple[str, str], Mapping[str, float]], seeds: int) -> bool:
    lost, faster, complete = [], [], True
    for name in TASKS:
        peers = {method: means[name, method] for method in PEERS if (name, method) in means}
        mine = means.get((name, OURS))
        complete &= mine is not None and len(peers) == len(PEERS)
        complete &= all(one["seeds"] == seeds for one in (*peers.values(), *([mine] if mine else [])))
        if not peers or mine is None:
            continue
        best = max(peers, key=lambda method: peers[method]["picked"])
        fast = max(peers, key=lambda method: peers[method]["latency"])
        lost.append((1 - mine["picked"]) / max(1e-9, 1 - peers[best]["picked"]))
        faster.append(mine["latency"] / max(1e-9, peers[fast]["latency"]))
        print(f"{name}: lost hypervolume {lost[-1]:.2f} of that of {best};", end=" ")
        print(f"with measured time {faster[-1]:.2f} times that of {fast}")
    if not lost:
        print("Nothing to compare yet.")
        return False
    low, high = statistics.geometric_mean(lost), statistics.geometric_mean([max(one, 1e-9) for one in faster])
    print(f"lost hypervolume, geometric mean {low:.2f} at most {LOST:g}: {'met' if low <= LOST else 'missed'}")
    print(f"measured time, geometric mean {high:.2f} at least {FASTER:g}: {'met' if high >= FASTER else 'missed'}")
    if not complete:
        print("Not all parts are there: the claims are judged by all tasks, peers and seeds.")
    return complete and low <= LOST and high >= FASTER


def arguments() -> argparse.Namespace:
    def names(known: Sequence[str]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            wanted = [name.strip() for name in text.split(",")]
            for name in wanted:
                if name not in known:
                    message = f"{name!r} is none of {', '.join(known)}"
                    raise argparse.ArgumentTypeError(message)
            return wanted

        return read

    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    parser.add_argument(
        "--only-seeds", type=lambda text: [int(seed) for seed in text.split(",")], help="run these only"
    )
    parser.add_argument("--tasks", type=names(tuple(TASKS)), default=list(TASKS))
    parser.add_argument("--methods", type=names(METHODS), default=list(METHODS))
    parser.add_argument("--axes", type=names(AXES), default=list(AXES), help="of ours: costs, where run apart")
    parser.add_argument("--again", action="store_true", help="run parts that are there already")
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    return parser.parse_args()


def main() -> None:
    torch.set_num_threads(1)
    asked = arguments()
    done = set() if asked.again else {(row["task"], row["seed"], row["method"]) for row in rows(10**9)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    for seed in () if asked.table else asked.only_seeds or range(asked.seeds):
        for name in asked.tasks:
            for method in asked.methods:
                if (name, seed, method) in done:
                    continue
                row = part(TASKS[name], seed, method, asked.axes if method == OURS else AXES)
                with (RESULTS / f"{os.getpid()}.jsonl").open("a") as file:  # one writer a file
                    file.write(json.dumps(row) + "\n")
                said = {
                    axis: {k: round(v, 3) for k, v in volumes(row, axis, TASKS[name].floor).items()}
                    for axis in AXES
                    if axis in row
                }
                print(f"{name} seed {seed} {method}: {said}, {row['seconds']:.0f} s", flush=True)
    print(f"At most {EVALUATIONS} evaluations and {HANDED_IN} models handed in; one thread.")
    sys.exit(not table(asked.seeds))


if __name__ == "__main__":
    main()
