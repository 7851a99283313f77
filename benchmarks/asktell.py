"""What a trial costs beside its own work: a study of 1,000 no-op trials, against bare Optuna with the same sampler.

Ours is `Study` as `explore` makes it, with its archive, fronts, store and threads; only its crew is one that answers at
once, with costs and a score worked out from the plan. The peer asks and tells as many trials of the same parameters,
values and seed, in Optuna's own storage: in memory, or a journal file where ours keeps a folder. Rounds take turns;
what counts is the median ratio of processor seconds, which
other work on the machine disturbs least; that of wall times, with the waits for the disk, is printed beside it.

A space of eight linear layers with five settings each. TPE is what a search takes by itself; NSGA-II and random draw a
trial in a fifth of a millisecond, so beside them every record shows.

Claim: at most 1.2 times, by TPE with either store. The others are printed.

    python -m benchmarks.asktell [--trials 1000] [--rounds 3] [--samplers tpe,nsga2,random] [--stores memory,folder]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeAlias, get_args

import torch
from torch import nn

from benchmarks._verdicts import verdict
from effwidgets import Call, SearchOptions, profile
from effwidgets.records import Candidate, Cost, Memory, Option, Plan, Score, Step, settings
from effwidgets.search.engine.orders import Made, Order
from effwidgets.search.engine.proposer import Who
from effwidgets.search.engine.study import Study
from effwidgets.search.engine.workshop import Workshop
from effwidgets.search.selection.seeds import Seeds
from effwidgets.search.store.open import store_of

LAYERS: Final = 8
RANKS: Final = (24, 16, 12, 8, 4)
WIDTH: Final = 64
CLAIM: Final = 1.2
MEMORY: Final = Memory(param_bytes=8, inference_peak_bytes=8, inference_peak_at="", saved_bytes=0)


Spent: TypeAlias = tuple[float, float]
"""Seconds of the processor, and by the clock."""


def now() -> Spent:
    return time.process_time(), time.perf_counter()


def since(start: Spent) -> Spent:
    spent, clock = now()
    return spent - start[0], clock - start[1]


def model() -> nn.Module:
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))).eval()


def option(layer: int, rank: int) -> Option:
    step = Step(transform="low_rank", layers=(str(layer),), settings=settings(rank=rank))
    saved = WIDTH * WIDTH - 2 * WIDTH * rank
    return Option(
        step=step,
        family="factorize",
        unit=(str(layer),),
        change=Cost(macs=-saved, params=-saved),
        saving=saved / (LAYERS * WIDTH * WIDTH),
        error=0.1,
        energy=0.9,
        found="",
    )


def values(ranks: list[int]) -> tuple[float, float]:
    """Score and MACs of a plan, without making it: each layer costs a little of the score, by its place."""
    lost = sum((1 - rank / WIDTH) ** 2 * (1 + place % 3) for place, rank in enumerate(ranks))
    return 1 - lost / 100, sum(2 * WIDTH * rank if rank < WIDTH else WIDTH * WIDTH for rank in ranks)


def ranks_of(plan: Plan) -> list[int]:
    held: dict[str, int] = {}
    for step in plan:
        rank = dict(step.settings)["rank"]
        assert isinstance(rank, int)
        held[step.layers[0]] = rank
    return [held.get(str(layer), WIDTH) for layer in range(LAYERS)]


class AtOnce:
    """A crew that has every answer ready."""

    slots = 1

    def submit(self, order: Order) -> Future[Made]:
        """Answer."""
        score, macs = values(ranks_of(order.plan))
        candidate = Candidate(
            number=order.number,
            plan=order.plan,
            rung=order.rung,
            state="done",
            cost=Cost(macs=int(macs), params=int(macs)),
            memory=MEMORY,
            scores=(Score(metric="score", value=score),),
            seed=order.seed,
            source=order.source,
            parent=None if order.number == 0 else 0,
        )
        found: Future[Made] = Future()
        found.set_result(Made(candidate=candidate))
        return found

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nobody waits."""


def ours(trials: int, who: Who, folder: Path | None, seed: int) -> Spent:
    dense, x = model(), torch.zeros(1, WIDTH)
    options = SearchOptions(trials=trials, sampler=who, store=folder, seed=seed, box=(0.0, 1.0))
    found = tuple(option(layer, rank) for layer in range(LAYERS) for rank in RANKS)
    first = tuple(Plan(steps=(one.step,)) for one in found[: len(RANKS)])
    known = profile(dense, x)
    workshop = Workshop(dense, Call((x,)), lambda _: 0.0, options)

    def lay(_most: int, _check: Callable[[], None]) -> Seeds:
        return Seeds(plans=first, options=found, profile=known)

    start = now()
    study = Study(workshop, options, store_of(folder), title="no-op", lay=lay, crew=AtOnce)
    study.run()
    spent = since(start)
    done = sum(one.state == "done" for one in study.candidates())
    assert done == trials + 1, (done, study)
    assert len(study.front("macs")) > 0
    return spent


def bare(trials: int, who: Who, folder: Path | None, seed: int) -> Spent:
    import optuna
    from optuna.distributions import IntDistribution
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=24),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    space = {f"low_rank {layer}": IntDistribution(0, len(RANKS)) for layer in range(LAYERS)}
    start = now()
    storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
    if folder is not None:
        folder.mkdir()
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "log")))
    study = optuna.create_study(storage=storage, sampler=samplers[who](), directions=["minimize"] * 2)
    for _ in range(trials):
        trial = study.ask(dict(space))
        chosen = [trial.params[name] for name in space]
        score, macs = values([RANKS[choice - 1] if choice else WIDTH for choice in chosen])
        study.tell(trial, [-score, macs])
    return since(start)


def ratios(trials: int, rounds: int, who: Who, *, kept: bool) -> Iterator[tuple[float, float, float]]:
    """Yield the median ratio, and the median seconds a trial of both: of the processor, then by the clock."""
    mine, theirs = [], []
    for seed in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            theirs.append(bare(trials, who, Path(folder) / "bare" if kept else None, seed))
            mine.append(ours(trials, who, Path(folder) / "ours" if kept else None, seed))
    for own, other in zip(zip(*mine, strict=True), zip(*theirs, strict=True), strict=True):
        median = statistics.median(one / two for one, two in zip(own, other, strict=True))
        yield median, statistics.median(own) / trials, statistics.median(other) / trials


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asktell")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samplers", type=lambda text: text.split(","), default=["tpe", "nsga2", "random"])
    parser.add_argument("--stores", type=lambda text: text.split(","), default=["memory", "folder"])
    return parser.parse_args()


def main() -> None:
    torch.set_num_threads(1)
    asked, missed = arguments(), False
    for who in asked.samplers:
        assert who in get_args(Who), who
        for where in asked.stores:
            spent, clock = ratios(asked.trials, asked.rounds, who, kept=where == "folder")
            found, mine, theirs = spent
            print(verdict(f"{asked.trials:,} trials, {who}, {where}: ours over bare", found, CLAIM))
            print(f"    a trial: {mine * 1e3:.2f} ms, bare {theirs * 1e3:.2f} ms")
            print(f"    by the clock {clock[0]:.2f}: {clock[1] * 1e3:.2f} ms, bare {clock[2] * 1e3:.2f} ms", flush=True)
            missed |= who == "tpe" and found > CLAIM
    sys.exit(missed)


if __name__ == "__main__":
    main()
