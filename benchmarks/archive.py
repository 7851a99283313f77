"""What the archive of a search costs: 10,000 points in two objectives with their hypervolume, beside a numpy sweep.

The peer is the plain sweep: sort by cost, a running maximum of the scores, one sum; all points at once, numbers only.
It knows neither which point stands where nor what the hypervolume was before. Ours keeps both, by number:

- all at once, as when a store is read: `Staircase.extend`, then the hypervolume; against one sweep;
- one by one with the hypervolume after each, as while a search runs: against a sweep after each, which is what that
  would take with the peer (each hundredth is really swept, and counted a hundred times);
- for information the same against a single sweep at the end, and candidates as records in an `Archive`.

A cloud of random points, and points that all stand on the front. Interleaved rounds on one thread, the median ratio.

Claim: at most 3 times the sweep, both ways and for both kinds of points.

    python -m benchmarks.archive [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks._verdicts import verdict
from effwidgets.records import Candidate, Cost, Memory, Plan, Score
from effwidgets.search.fronts.archive import Archive
from effwidgets.search.fronts.pareto import Box
from effwidgets.search.fronts.staircase import Staircase

POINTS: Final = 10_000
ROUNDS: Final = 15
CLAIM: Final = 3.0
EACH: Final = 100  # of so many sweeps one is really done
UNIT: Final = Box(cost=1.0, worst=0.0, best=1.0)
MEMORY: Final = Memory(param_bytes=8, inference_peak_bytes=8, inference_peak_at="", saved_bytes=0)

Numbers = NDArray[np.float64]


def sweep(costs: Numbers, scores: Numbers) -> float:
    order = np.argsort(costs)
    costs, heights = costs[order], np.maximum.accumulate(scores[order])
    ends = np.append(costs[1:], 1.0)
    return float(np.dot(heights, ends - costs))


def at_once(costs: Numbers, scores: Numbers) -> float:
    stairs = Staircase(UNIT)
    stairs.extend(np.arange(len(costs)), costs, scores)
    return stairs.hypervolume or 0.0


def one_by_one(points: list[tuple[float, float]]) -> float:
    stairs = Staircase(UNIT)
    volume: float | None = 0.0
    for number, point in enumerate(points):
        stairs.add(number, point)
        volume = stairs.hypervolume
    return volume or 0.0


def sweep_after_each(costs: Numbers, scores: Numbers) -> float:
    volume = 0.0
    for count in range(EACH, len(costs) + 1, EACH):
        volume = sweep(costs[:count], scores[:count])
    return volume


def as_records(points: list[tuple[float, float]]) -> float:
    archive = Archive("higher", (0.0, 1.0), ("macs",))
    for number, (cost, score) in enumerate([(1.0, 0.0), *points]):
        archive.put(
            Candidate(
                number=number,
                plan=Plan(),
                rung="repaired",
                state="done",
                cost=Cost(macs=round(cost * 10**9)),
                memory=MEMORY,
                scores=(Score(metric="score", value=score),),
            )
        )
    return archive.fronts()[0].hypervolume or 0.0


def seconds(work: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def ratios(costs: Numbers, scores: Numbers, rounds: int) -> dict[str, float]:
    points = list(zip(costs.tolist(), scores.tolist(), strict=True))
    taken: dict[str, list[float]] = {"at once": [], "one by one": [], "one by one, one sweep": [], "records": []}
    for _ in range(rounds):
        one, truth = seconds(lambda: sweep(costs, scores))
        every, _ = seconds(lambda: sweep_after_each(costs, scores))
        whole, first = seconds(lambda: at_once(costs, scores))
        single, second = seconds(lambda: one_by_one(points))
        kept, third = seconds(lambda: as_records(points))
        assert max(abs(found - truth) for found in (first, second)) < 1e-9, (truth, first, second)
        assert abs(third - truth) < 1e-6, (truth, third)  # whole numbers of MACs
        taken["at once"].append(whole / one)
        taken["one by one"].append(single / (every * EACH))
        taken["one by one, one sweep"].append(single / one)
        taken["records"].append(kept / one)
    return {name: statistics.median(found) for name, found in taken.items()}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    drawn = np.random.default_rng(0)
    cloud = drawn.random(POINTS), drawn.random(POINTS)
    line = drawn.permutation(POINTS) / POINTS
    missed = False
    print(f"{POINTS:,} points in two objectives, median of {rounds} interleaved rounds")
    for name, (costs, scores) in {"cloud": cloud, "all on the front": (line, line**0.5)}.items():
        found = ratios(costs, scores, rounds)
        print(verdict(f"{name}: all at once, against one sweep", found["at once"], CLAIM))
        print(verdict(f"{name}: one by one with hypervolumes, against a sweep after each", found["one by one"], CLAIM))
        print(f"    one by one against one sweep: {found['one by one, one sweep']:.1f}; ", end="")
        print(f"as records of an archive, made and put: {found['records']:.0f}")
        missed |= max(found["at once"], found["one by one"]) > CLAIM
    sys.exit(missed)


if __name__ == "__main__":
    main()
