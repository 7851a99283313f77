"""What a second worker is worth: the same candidates by one worker and by two, in turns.

    python -m benchmarks.workers            # threads and processes, five pairs each
    python -m benchmarks.workers --pairs 2 --orders 6 --untrained

Candidates of a digits CNN are applied, repaired on calibration data, trained for an epoch (unless ``--untrained``) and
scored. One worker and two take turns, the first of them changing, so that what else the machine does falls on both;
the start of processes is not in the times, since it is paid once. Each worker computes with one thread of torch, the
lone one too: the question is what a worker adds, not what a thread of torch does.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import sys
import time

import torch
from torch import nn

from benchmarks import _digits
from effwidgets.profiling.calls import as_call
from effwidgets.profiling.profile import profile
from effwidgets.search.crews.crew import Crew
from effwidgets.search.crews.hire import crew_for
from effwidgets.search.engine.gate import cores
from effwidgets.search.engine.options import SearchOptions
from effwidgets.search.engine.orders import Order
from effwidgets.search.engine.workshop import Workshop

TARGET = 1.6
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--pairs", type=int, default=5)
    asked.add_argument("--orders", type=int, default=12)
    asked.add_argument("--untrained", action="store_true")
    asked.add_argument("--only", choices=("threads", "processes"))
    given = asked.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    workshop, orders = task(given.orders, trained=not given.untrained)
    print(f"{cores()} cores, {len(orders)} candidates a run, {given.pairs} pairs, load {load()}")
    best = {}
    for kind in (given.only,) if given.only else ("threads", "processes"):
        ratios = pairs(kind, workshop, orders, given.pairs)
        best[kind] = max(ratios)
        print(f"{kind:10} two workers against one: best {max(ratios):.2f}, median {statistics.median(ratios):.2f}")
    print(f"load {load()} at the end")
    return 0 if max(best.values()) >= TARGET else 1


def task(most: int, *, trained: bool) -> tuple[Workshop, list[Order]]:
    """Return the workshop and what it is asked for."""
    data = _digits.digits()
    model = _digits.trained(data, 0)
    images, labels = data.test

    def evaluate(candidate: nn.Module) -> float:
        with torch.no_grad():
            return (candidate(images).argmax(1) == labels).double().mean().item()

    def train(candidate: nn.Module, teacher: nn.Module) -> None:
        dice = torch.Generator().manual_seed(0)  # of its own: threads share torch's
        optimizer = torch.optim.AdamW(candidate.parameters(), 5e-4)
        candidate.train()
        for part in torch.randperm(_digits.TRAIN, generator=dice).split(_digits.BATCH):
            x = data.train[0][part]
            with torch.no_grad():
                aim = teacher(x).softmax(1)
            optimizer.zero_grad()
            nn.functional.cross_entropy(candidate(x), aim).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    options = SearchOptions(calibration=data.calibration(), finetune=train if trained else None)
    call = as_call(images[:1])
    workshop = Workshop(model, call, evaluate, options)
    known = profile(model, call)
    rung = workshop.rungs[-1]
    plans = [_digits.prune_plan(known, SHARES[place % len(SHARES)]) for place in range(most)]
    orders = [Order(number=place, plan=plan, rung=rung, seed=0, main="score") for place, plan in enumerate(plans, 1)]
    return workshop, orders


def pairs(kind: str, workshop: Workshop, orders: list[Order], count: int) -> list[float]:
    """Return how much faster two workers were, pair by pair."""
    crews = [crew_for(kind, copy.copy(workshop), workers) for workers in (1, 2)]
    try:
        for crew in crews:
            timed(crew, orders[:1] * 2 * crew.slots)  # starts, and builds what is built once
        found = []
        for turn in range(count):
            seconds = {}
            for crew in crews if turn % 2 else crews[::-1]:
                seconds[crew.slots] = timed(crew, orders)
            found.append(seconds[1] / seconds[2])
            print(f"  {kind}: {seconds[1]:.2f} s by one, {seconds[2]:.2f} s by two: {found[-1]:.2f}", flush=True)
    finally:
        for crew in crews:
            crew.close()
    return found


def timed(crew: Crew, orders: list[Order]) -> float:
    began = time.perf_counter()
    for future in [crew.submit(order) for order in orders]:
        candidate = future.result().candidate
        assert candidate.state == "done", candidate.note
    return time.perf_counter() - began


def load() -> str:
    import os

    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    sys.exit(main())
