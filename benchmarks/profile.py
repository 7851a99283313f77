"""What a profile takes on twelve named models, in forwards of the same model, beside every other counter.

One process for each contender, one thread; in each round every contender runs once on each model, in an order drawn
anew; a ratio is made within a round, and the median over the rounds is shown. The first run of each is not timed.
Times are of the processor. MACs are compared with what was worked out by hand: `*` marks a count that is not exact.

Peers are optional (`pip install -c .ci/constraints.txt -e '.[bench]'`). torchinfo, fvcore and others count norms or
biases too: their totals are taken as they print them, with 2 FLOPs to a MAC where they print FLOPs. fvcore and
torchprofile trace, so the language models are wrapped for them to return one tensor.

Targets: ours at most 0.35 of a forward and 0.7 of `FlopCounterMode` on meta, median over the models; first call minus
later call, in fresh processes, at most 1.1 of what that spends; Python calls for each traced operation equal within 2%
from 12 layers to 192. Misses are printed and do not fail: machines are noisy. A count of ours that is not exact does.

    python -m benchmarks.profile [--quick]     one round, and no peer but FlopCounterMode
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

import torch

from benchmarks._calls import calls_by_depth
from benchmarks._contenders import CONTENDERS, FAST, FORWARD, META, OURS, OWN, Prepare
from benchmarks._fresh import fresh
from benchmarks._verdicts import verdict
from benchmarks._workers import Reply, Worker
from effwidgets.testing.twelve import TWELVE

Replies = dict[tuple[str, str], list[Reply]]
"""(contender, model) -> the warm-up and one reply for each round."""


def race(contenders: Mapping[str, Prepare], rounds: int) -> Replies:
    """Run everyone on everything, in turn."""
    models = {found.name: found.build() for found in TWELVE}
    replies: Replies = {(who, name): [] for who in contenders for name in models}
    with ExitStack() as stack:
        workers = {
            who: stack.enter_context(Worker([partial(prepare, found, models[found.name]) for found in TWELVE]))
            for who, prepare in contenders.items()
        }
        order = random.Random(3)  # noqa: S311  nothing is kept secret
        for turn in range(rounds + 1):
            for number, name in enumerate(models):
                for who in order.sample(list(workers), len(workers)):
                    kept = replies[who, name]
                    if turn and kept[0].failure:
                        continue
                    kept.append(workers[who].turn(number))
    return replies


def ratios(replies: Replies, who: str, name: str, to: str = FORWARD) -> list[float]:
    """Return what ``who`` takes on a model in runs of another contender, round by round."""
    pairs = zip(replies[who, name][1:], replies[to, name][1:], strict=False)
    return [one.seconds / other.seconds for one, other in pairs if not one.failure and not other.failure]


def median_ratio(replies: Replies, who: str, to: str = FORWARD) -> float | None:
    """Return the median over the models of the median over the rounds."""
    each = [statistics.median(found) for spec in TWELVE if (found := ratios(replies, who, spec.name, to))]
    return statistics.median(each) if each else None


def is_exact(replies: Replies, who: str, name: str) -> bool:
    truth = next(found.macs for found in TWELVE if found.name == name)
    return all(not reply.failure and reply.value == truth for reply in replies[who, name])


def cell(replies: Replies, who: str, name: str) -> str:
    found = ratios(replies, who, name)
    if not found:
        return replies[who, name][0].failure.partition(":")[0].removesuffix("Error")[:9]
    return f"{statistics.median(found):.2f}{' ' if is_exact(replies, who, name) else '*'}"


def show(replies: Replies) -> None:
    others = [who for who in dict.fromkeys(who for who, _ in replies) if who != FORWARD]
    print(f"{'':14}{'forward':>9} " + "".join(f"{who:>10}" for who in others))
    for found in TWELVE:
        forward = statistics.median(reply.seconds for reply in replies[FORWARD, found.name][1:])
        cells = "".join(f"{cell(replies, who, found.name):>10}" for who in others)
        print(f"{found.name:14}{forward * 1000:>6.1f} ms {cells}")
    medians = [median_ratio(replies, who) for who in others]
    print(f"{'median':24}" + "".join("         -" if value is None else f"{value:>9.2f} " for value in medians))
    exact = [sum(is_exact(replies, who, found.name) for found in TWELVE) for who in others]
    print(f"{'exact on n of 12':24}" + "".join(f"{count:>9} " for count in exact))
    failures: dict[str, list[str]] = {}
    for (who, name), kept in replies.items():
        if kept[0].failure:
            failures.setdefault(f"{who}: {kept[0].failure[:90]}", []).append(name)
    for reason, names in failures.items():
        print(f"  {reason} ({', '.join(names) if len(names) < len(TWELVE) else 'all'})")


def slowest(replies: Replies) -> str:
    each: Mapping[str, float] = {found.name: statistics.median(ratios(replies, OURS, found.name)) for found in TWELVE}
    worst = max(each, key=lambda name: each[name])
    return f"  from {min(each.values()):.2f} to {each[worst]:.2f} ({worst}) of a forward"


def main() -> None:
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    start = time.perf_counter()
    rounds = 1 if quick else 4
    contenders = {who: prepare for who, prepare in CONTENDERS.items() if not quick or who in FAST}
    replies = race(contenders, rounds)
    print(f"a profile, in forwards of the same model; one thread, {rounds} rounds; * not exact")
    print(
        "ours: MACs, element operations, bytes, inference peak, saved for backward; +backward: its MACs and peak too;"
    )
    print("default: channel groups too; FCM: torch.utils.flop_counter.FlopCounterMode")
    show(replies)
    forward, meta = median_ratio(replies, OURS), median_ratio(replies, OURS, META)
    assert forward is not None
    assert meta is not None
    print(verdict("ours, median over the twelve, in forwards", forward, 0.35))
    print(slowest(replies))
    print(verdict("ours, median over the twelve, in FlopCounterMode on meta", meta, 0.7))
    fresh(processes=1 if quick else 3)
    calls_by_depth()
    print(f"took {time.perf_counter() - start:.0f} s")
    wrong = [(who, found.name) for who in OWN for found in TWELVE if not is_exact(replies, who, found.name)]
    for who, name in wrong:
        print(f"NOT EXACT: {who} on {name}: {replies[who, name][0]}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
