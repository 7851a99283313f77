"""What repair without labels brings: digits right, in per cent, at a quarter of the MACs, without training.

A net of four convolutions is trained on scikit-learn's digits (12 epochs), then cut to 0.25 of its MACs at the same
share everywhere. The repairs see 512 training images and no label. Mean over the seeds, with its standard error; the
differences are paired. Peer: the same edits without repair.

Claims: least squares at least 50 points above none for pruning, and at least 97 % for pruning and for the bottleneck;
low rank whitened and re-balanced at least 20 points above plain, and after two epochs no farther below plain than the
standard error of their paired difference (ten seeds).

    python -m benchmarks.repair [seeds]
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence

import torch

from benchmarks._digits import Digits, accuracy, digits, factor_plan, prune_plan, trained, tuned
from effwidgets import profile
from effwidgets.records import Plan
from effwidgets.transforms.apply import apply

MACS = 0.25
SEEDS = 10
STEPS: dict[str, bool | tuple[str, ...]] = {
    "none": False,
    "batch norm": ("batch_norm",),
    "bias": ("bias",),
    "least squares": ("least_squares",),
    "by technique": True,
}


def plans(model: torch.nn.Module, data: Digits) -> dict[str, Plan]:
    found = profile(model, data.train[0][:1])
    return {
        "prune": prune_plan(found, MACS),
        "bottleneck": factor_plan(found, MACS, "bottleneck"),
        "spatial_svd": factor_plan(found, MACS, "spatial_svd"),
        "low_rank plain": factor_plan(found, MACS, "low_rank", data="plain"),
        "low_rank whitened": factor_plan(found, MACS, "low_rank", data="whitened"),
    }


def one_seed(data: Digits, seed: int) -> dict[tuple[str, str], float]:
    model = trained(data, seed)
    found = {("dense", "none"): accuracy(model, data)}
    for name, plan in plans(model, data).items():
        for how, steps in STEPS.items():
            made = apply(model, plan, data.train[0][:1], calibration=data.calibration(), repair=steps)
            assert len(made.edits) == len(plan), made.skipped
            assert made.profile.cost.macs <= MACS * made.before.cost.macs
            found[name, how] = accuracy(made.model, data)
            if how == "none" and name.startswith("low_rank"):
                found[name, "two epochs"] = accuracy(tuned(made.model, data, seed), data)
    return found


def spread(values: Sequence[float]) -> tuple[float, float]:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), error


def at_least(what: str, measured: float, limit: float) -> str:
    said = "met" if measured >= limit else f"missed by {limit - measured:.2f}"
    return f"  {what:<72} {measured:>7.2f} at least {limit:g}: {said}"


def main() -> None:
    torch.set_num_threads(1)
    data, count = digits(), int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    started = time.perf_counter()
    rows = [one_seed(data, seed) for seed in range(count)]
    print(f"{count} seeds in {time.perf_counter() - started:.0f} s; dense {means(rows, ('dense', 'none'))}")
    columns = [*STEPS, "two epochs"]
    print(f"  {'':<20}" + "".join(f"{column:>16}" for column in columns))
    for name in dict.fromkeys(name for name, _ in rows[0] if name != "dense"):
        cells = [means(rows, (name, column)) if (name, column) in rows[0] else "" for column in columns]
        print(f"  {name:<20}" + "".join(f"{cell:>16}" for cell in cells))

    def paired(one: tuple[str, str], other: tuple[str, str]) -> tuple[float, float]:
        return spread([row[one] - row[other] for row in rows])

    gain, _ = paired(("prune", "least squares"), ("prune", "none"))
    print(at_least("pruning: least squares above none, points", gain, 50))
    print(at_least("pruning: least squares, %", spread([row["prune", "least squares"] for row in rows])[0], 97))
    print(at_least("bottleneck: repaired, %", spread([row["bottleneck", "by technique"] for row in rows])[0], 97))
    whitened, plain = "low_rank whitened", "low_rank plain"
    print(at_least("low rank: whitened above plain, points", paired((whitened, "none"), (plain, "none"))[0], 20))
    behind, error = paired((whitened, "two epochs"), (plain, "two epochs"))
    if len(rows) > 1:
        print(at_least("low rank, after two epochs: whitened above plain, points", behind, -error))


def means(rows: Sequence[dict[tuple[str, str], float]], key: tuple[str, str]) -> str:
    mean, error = spread([row[key] for row in rows])
    return f"{mean:.1f} ± {error:.1f}" if not math.isnan(error) else f"{mean:.1f}"


if __name__ == "__main__":
    main()
