"""Our side of the search benchmark: what `explore` hands in, by nothing but the public face of the package."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import nn

from benchmarks._box import EVALUATIONS, HANDED_IN, Arena, Axis
from effwidgets import SearchOptions, apply, explore
from effwidgets.search.tuning.distill import Distill

__all__ = ["ours"]

TRIALS: Final = 44
"""Of the evaluations; the rest is left to what finds the seeds: it makes models too, and measures them without labels.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """The fine-tuning that all methods get, without the shorter one that a search may give to more models."""

    train: Distill

    def __call__(self, model: nn.Module, teacher: nn.Module) -> None:
        self.train(model, teacher)

    def with_seed(self, seed: int) -> Self:
        return type(self)(train=self.train.with_seed(seed))


def ours(arena: Arena, axis: Axis) -> list[tuple[str, nn.Module, nn.Module]]:
    """Return name, model before and model after fine-tuning of what the search trained, at most ten."""
    task, looked = arena.task, 0

    def evaluate(model: nn.Module) -> Mapping[str, float]:
        nonlocal looked
        looked += 1
        return task.evaluate(model)

    options = SearchOptions(
        score_name=task.metric,
        calibration=task.calibration(),
        finetune=Epochs(train=task.finetune()),
        box=(task.floor, 1.0),
        keep=TRIALS,
        seed=arena.seed,
        trials=TRIALS,
        finetuned=HANDED_IN,
        objectives=(axis,),
        guide="divergence",
    )
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = explore(arena.dense, task.inputs, evaluate=evaluate, options=options).run()
    torch.set_num_threads(threads)
    # What came out no better is handed in as it was.
    tried = [(one, {one.rung, *(climb.rung for climb in one.climbed)}) for one in study.candidates()]
    trained = [one for one, rungs in tried if "fine-tuned" in rungs and one.state == "done"]
    # The dense model and what was trained are judged once more.
    spent = looked - 1 - len(trained)
    spent += study._campaign._ideas.looked  # noqa: SLF001  what the search does not tell
    assert spent <= EVALUATIONS, f"{spent} evaluations"
    assert len(trained) <= HANDED_IN
    found = []
    for one in trained:
        before = apply(arena.dense, one.plan, task.inputs, calibration=task.calibration()).model.eval()
        found.append((f"{one.number} {one.source}", before, study.apply(one.number).model.eval()))
    return found
