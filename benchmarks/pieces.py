"""How well the time of a changed model is told from its pieces: ten random plans, told first, then built and timed.

Each plan is drawn from all the places of a model, a quarter to a half of them, at settings drawn with them. `Pieces`
tells its time from pieces measured alone. Then `apply` builds it, and it takes turns with the dense model, one forward
each; the truth is the ratio of their medians. One thread.

Claim: at least 8 of 10 within 15% of the truth.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from effwidgets import Plan, Profile, ProfileOptions, profile
from effwidgets.errors import EffError
from effwidgets.profiling.calls import Call
from effwidgets.search.advice.places import places_of, step_at
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.testing.zoo import resnet18
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import foresee

ROUNDS = 15
CLAIM = 8
WITHIN = 0.15


class Digits(nn.Module):
    """A small residual network, as one would train it on the digits of scikit-learn."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.one, self.two = nn.Conv2d(32, 64, 3, padding=1), nn.Conv2d(64, 32, 3, padding=1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score for each digit."""
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.two(torch.relu(self.one(x)))
        answer: Tensor = self.head(torch.relu(x).mean((2, 3)))
        return answer


def models() -> Iterator[tuple[str, nn.Module, Tensor, int]]:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(192, 4, 768, batch_first=True, norm_first=True, dropout=0.0)
    wide = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 64))
    yield "ResNet-18 at 128 x 128, batch 2", resnet18(), torch.randn(2, 3, 128, 128), 3
    yield (
        "encoder of 4 layers, 65 tokens",
        nn.TransformerEncoder(layer, 4, enable_nested_tensor=False),
        torch.randn(4, 65, 192),
        2,
    )
    yield "residual CNN on 8 x 8, batch 64", Digits(), torch.randn(64, 1, 8, 8), 3
    yield "perceptron, batch 32", wide, torch.randn(32, 256), 2


def drawn_plan(known: Profile, dice: random.Random) -> Plan:
    # Prunings first, as plans are made; a layer is changed in shape once beside them.
    places, _ = places_of(known)
    dice.shuffle(places)
    share = dice.uniform(0.25, 0.5)
    steps, taken, now = [], set[str](), known
    for place in sorted(
        places[: max(1, round(share * len(places)))], key=lambda one: one.site.transform != "channel_prune"
    ):
        step = step_at(place, dice.uniform(0.3, 0.8))
        if taken & set(step.layers):
            continue
        try:
            now = foresee(now, step)
        except EffError:
            continue
        steps.append(step)
        if step.transform != "channel_prune":
            taken |= set(step.layers)
    return Plan(steps=tuple(steps))


def in_turn(dense: nn.Module, made: nn.Module, x: Tensor) -> tuple[float, float]:
    rows: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        dense(x), made(x)
        for _ in range(ROUNDS):
            for model, row in zip((dense, made), rows, strict=True):
                start = time.thread_time()
                model(x)
                row.append(time.thread_time() - start)
    return statistics.median(rows[0]), statistics.median(rows[1])


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dice = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)  # noqa: S311  plans, no secrets
    good = number = 0
    print("Ten random plans: time told from pieces, and the truth; shares of the dense model's time")
    for name, model, x, count in models():
        model.eval()
        call = Call((x,))
        known = profile(model, call, options=ProfileOptions(second_opinion=True, seams=True))
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EFFWIDGETS_CACHE"] = folder  # nothing remembered from elsewhere
            pieces = Pieces(model, call, known)
            for _ in range(count):
                plan = drawn_plan(known, dice)
                start = time.perf_counter()
                found = pieces.plan(plan)
                spent = time.perf_counter() - start
                made = apply(model, plan, x, repair=False, known=known)
                dense_s, made_s = in_turn(model, made.model.eval(), x)
                told, truth = 1 + found.share, made_s / dense_s
                off = told / truth - 1
                number, good = number + 1, good + (abs(off) <= WITHIN)
                print(
                    f"  {number:2}. {name}: {len(plan) - len(made.skipped)} steps, told {told:.2f}, truth {truth:.2f}, "
                    f"off {off:+.0%}; {spent / found.whole_s:.0f} forwards to tell"
                )
    print(f"  within {WITHIN:.0%}: {good} of {number}; claimed: at least {CLAIM}")
    sys.exit(good < CLAIM)


if __name__ == "__main__":
    main()
