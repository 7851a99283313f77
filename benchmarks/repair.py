"""What repair without labels brings: digits right, in per cent, at a quarter of the MACs, without training.

A net of four convolutions is trained on scikit-learn's digits (12 epochs), then cut to 0.25 of its MACs at the same
share everywhere. The repairs see 512 training images and no label. Mean over the seeds, with its standard error; the
differences are paired. Peer: the same edits without repair.

Claims: least squares at least 50 points above none for pruning, and at least 97 % for pruning and for the bottleneck;
low rank whitened and re-balanced at least 20 points above plain, and after two epochs no farther below plain than the
standard error of their paired difference (ten seeds).

    python -m benchmarks.repair [seeds] [rows] [columns]

Rows and columns are separated by commas ("low_rank plain,low_rank whitened" "none,two epochs"); a claim is judged where
all its figures were measured.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The rows and columns to measure; None means all."""

    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None

    def row(self, name: str) -> bool:
        """Say whether a row is wanted."""
        return self.rows is None or name in self.rows

    def column(self, name: str) -> bool:
        """Say whether a column is wanted."""
        return self.columns is None or name in self.columns


def one_seed(data: Digits, seed: int, wanted: Wanted) -> dict[tuple[str, str], float]:
    model = trained(data, seed)
    found = {("dense", "none"): accuracy(model, data)}
    for name, plan in plans(model, data).items():
        for how, steps in STEPS.items():
            if not (wanted.row(name) and wanted.column(how)):
                continue
            made = apply(model, plan, data.train[0][:1], calibration=data.calibration(), repair=steps)
            assert len(made.edits) == len(plan), made.skipped
            assert made.profile.cost.macs <= MACS * made.before.cost.macs
            found[name, how] = accuracy(made.model, data)
            if how == "none" and name.startswith("low_rank") and wanted.column("two epochs"):
                found[name, "two epochs"] = accuracy(tuned(made.model, data, seed), data)
    return found


def spread(values: Sequence[float]) -> tuple[float, float]:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), error


def at_least(what: str, measured: float, limit: float) -> str:
    said = "met" if measured >= limit else f"missed by {limit - measured:.2f}"
    return f"  {what:<72} {measured:>7.2f} at least {limit:g}: {said}"


def asked(position: int) -> tuple[str, ...] | None:
    return tuple(sys.argv[position].split(",")) if len(sys.argv) > position else None


def main() -> None:
    torch.set_num_threads(1)
    data, count = digits(), int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    wanted, started = Wanted(rows=asked(2), columns=asked(3)), time.perf_counter()
    rows = []
    for seed in range(count):
        rows.append(one_seed(data, seed, wanted))
        print(f"seed {seed}", {" / ".join(key): round(value, 2) for key, value in rows[-1].items()}, flush=True)
    print(f"{count} seeds in {time.perf_counter() - started:.0f} s; dense {means(rows, ('dense', 'none'))}")
    columns = [column for column in (*STEPS, "two epochs") if wanted.column(column)]
    print(f"  {'':<20}" + "".join(f"{column:>16}" for column in columns))
    for name in dict.fromkeys(name for name, _ in rows[0] if name != "dense"):
        cells = [means(rows, (name, column)) if (name, column) in rows[0] else "" for column in columns]
        print(f"  {name:<20}" + "".join(f"{cell:>16}" for cell in cells))
    for said in verdicts(rows):
        print(said)


def verdicts(rows: Sequence[dict[tuple[str, str], float]]) -> list[str]:
    """Return a line for each claim whose figures are there."""
    prune, repaired, plain = ("prune", "least squares"), ("bottleneck", "least squares"), ("low_rank plain", "none")
    whitened, tuned_plain = ("low_rank whitened", "none"), ("low_rank plain", "two epochs")
    tuned_whitened = ("low_rank whitened", "two epochs")

    def gain(what: str, one: tuple[str, str], other: tuple[str, str], limit: float | None) -> list[str]:
        if not rows or one not in rows[0] or other not in rows[0]:
            return []
        mean, error = spread([row[one] - row[other] for row in rows])
        bound = -error if limit is None else limit
        return [] if math.isnan(bound) else [f"{at_least(what, mean, bound)} (± {error:.2f})"]

    def level(what: str, one: tuple[str, str]) -> list[str]:
        return [at_least(what, spread([row[one] for row in rows])[0], 97)] if one in rows[0] else []

    return [
        *gain("pruning: least squares above none, points", prune, ("prune", "none"), 50),
        *level("pruning: least squares, %", prune),
        *level("bottleneck: least squares, %", repaired),
        *level("bottleneck: repaired by technique, %", ("bottleneck", "by technique")),
        *gain("low rank: whitened above plain, points", whitened, plain, 20),
        *gain("low rank, after two epochs: whitened above plain, points", tuned_whitened, tuned_plain, None),
    ]


def means(rows: Sequence[dict[tuple[str, str], float]], key: tuple[str, str]) -> str:
    mean, error = spread([row[key] for row in rows])
    return f"{mean:.1f} ± {error:.1f}" if not math.isnan(error) else f"{mean:.1f}"


if __name__ == "__main__":
    main()
