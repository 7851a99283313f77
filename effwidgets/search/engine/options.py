"""What a search is given: the score, the plans to try, calibration, fine-tuning, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Plan
from effwidgets.search.engine.checks import at_least, check_box, check_budgets, check_objectives
from effwidgets.search.fronts.axes import full_name
from effwidgets.search.fronts.pareto import Better
from effwidgets.search.sensitivity.gauge import Gauged

__all__ = ["Evaluate", "Finetune", "Guide", "Sampler", "SearchOptions"]

Evaluate: TypeAlias = Callable[[nn.Module], "float | Mapping[str, float]"]
"""Scores a model: one number, or several by name, the main one first. Called in the search's own thread."""

Finetune: TypeAlias = Callable[[nn.Module, nn.Module], None]
"""Trains the first model in place; the second is a copy of the dense model, as a teacher."""

Sampler: TypeAlias = Literal["auto", "tpe", "nsga2", "random", "grid", "ladder"]
"""Who proposes plans once the seeds are tried; "ladder": nobody, the seeds are all."""

Guide: TypeAlias = Literal["score", "divergence"]
"""What ranks candidates before they are trained: their score, or how little they part from the dense model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How to search.

    Attributes:
        score_name: what to call a score that ``evaluate`` returns as a plain number.
        better: in which direction the main score improves.
        plans: what to try, in this order; None for a ladder from near-dense to very small (`ladder`).
        calibration: real inputs for fitting and repair: a batch, a list of batches or a ``DataLoader``. None fits
            without data.
        finetune: trains a candidate. Every candidate is scored untrained first; then those that no other beats are
            trained, at most ``finetuned`` of them. None leaves all as repaired. A function that carries another one as
            its attribute ``briefly`` has that one try more of them first (`distill` does).
        box: the worst and the best score that the hypervolume is measured between. None: 0 and 1 for a score where
            higher is better and the dense model's lies between them; else from the worst of the first scores to the
            best possible (0 where lower is better) or best seen.
        keep: how many compressed models stay in memory, of 2 GiB together at most; others are made again when they are
            applied.
        seed: of the search: what the sampler draws, and the training of each candidate (``Candidate.seed`` is seed +
            number). A ``finetune`` with a method ``with_seed`` is given that seed; others seed themselves. In threads
            nobody writes torch's, numpy's or Python's own state; a worker process of ours seeds them each time.
        time_limit_s: longest time for one call of ``evaluate`` or ``finetune``; takes effect at the next forward. A
            call that hangs elsewhere is given up on soon after: its thread is left behind, a process ended.
        workers: how many candidates are tried at once; each computes with cores // workers threads. For an executor of
            yours 1, the default, stands for as many as it has.
        trials: how many candidates are scored beside the dense model, seeds among them. None: the seeds alone.
        sampler: who proposes plans after the seeds. "auto" takes NSGA-II where a trial was seen to take less than
            20 ms, else TPE, and has what the seeds leave of ``trials``; one that is named has half of them, rounded
            down.
        objectives: one or two costs to save beside the main score: "macs", "params", "param_bytes",
            "inference_peak_bytes", a registered metric, or "latency_s", which is measured near the front only; "bytes",
            "peak_bytes" and "latency" are short for three of these.
        budgets: the most that costs may be: a share of the dense model's up to 1, an amount above, or text ("40%").
            They guide the sampler and choose who is trained; `Study.set_budget` changes them while it runs.
        finetuned: how many candidates may be trained in full.
        executor: where candidates are made: None or "threads" for threads of this process, "processes", or an executor
            (a ``concurrent.futures.Executor``, a Dask client, an ipyparallel client or view).
        store: where the search is kept: None for memory only, a folder, or the address of an Optuna storage. The same
            search with the same store goes on where it was.
        guide: what ranks candidates until the first of them was trained: "score", or "divergence", which is smoother
            where ``evaluate`` sees a few hundred examples only. From then on the scores of trained ones are what the
            others are held against, and a divergence has no place on that scale.
        gauge: what the divergence of outputs is: "kl" of classes or "squares"; "auto" looks at the dense model's. Seeds
            are laid by it, whatever guides.
    """

    score_name: str = "score"
    better: Better = "higher"
    plans: tuple[Plan, ...] | None = None
    calibration: object = field(default=None, compare=False)
    finetune: Finetune | None = None
    box: tuple[float, float] | None = None
    keep: int = 32
    seed: int = 0
    time_limit_s: float | None = None
    workers: int = 1
    trials: int | None = None
    sampler: Sampler = "auto"
    objectives: tuple[str, ...] = ("macs",)
    budgets: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    finetuned: int = 10
    executor: object = field(default=None, compare=False)
    store: str | Path | None = None
    guide: Guide = "score"
    gauge: Gauged = "auto"

    def __post_init__(self) -> None:
        self._check_words()
        if self.plans is not None and not (
            isinstance(self.plans, tuple | list) and all(isinstance(plan, Plan) for plan in self.plans)
        ):
            raise InputError("plans holds something else than plans. Give a tuple of Plan(steps=...) records, or None.")
        if not isinstance(self.score_name, str) or not self.score_name:
            raise InputError(f"score_name is {self.score_name!r}; a name such as 'accuracy' was expected.")
        at_least("keep", self.keep, 0)
        at_least("workers", self.workers, 1)
        at_least("finetuned", self.finetuned, 0)
        if self.trials is not None:
            at_least("trials", self.trials, 1)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InputError(f"seed is {self.seed!r}; a whole number was expected.")
        if self.time_limit_s is not None and not (isinstance(self.time_limit_s, int | float) and self.time_limit_s > 0):
            raise InputError(f"time_limit_s is {self.time_limit_s!r}; seconds above 0, or None, were expected.")
        if self.store is not None and not isinstance(self.store, str | Path):
            raise InputError(f"store is {type(self.store).__name__}; a folder, an address or None was expected.")
        self._spell_out()
        check_objectives(self.objectives)
        check_budgets(self.budgets)
        if self.box is not None:
            check_box(self.box, self.better)

    def _spell_out(self) -> None:
        if isinstance(self.objectives, tuple | list):
            full = tuple(full_name(name) if isinstance(name, str) else name for name in self.objectives)
            object.__setattr__(self, "objectives", full)
        if isinstance(self.budgets, Mapping):
            budgets = {full_name(name): limit for name, limit in self.budgets.items()}
            if len(budgets) < len(self.budgets):
                raise InputError(f"One cost has two budgets: {', '.join(self.budgets)}. Give one for each.")
            object.__setattr__(self, "budgets", budgets)

    def _check_words(self) -> None:
        words = (
            ("direction of a score", self.better, Better),
            ("sampler", self.sampler, Sampler),
            ("guide", self.guide, Guide),
            ("gauge", self.gauge, Gauged),
        )
        for kind, name, known in words:
            if name not in get_args(known):
                raise UnknownNameError(kind, name, get_args(known))
        if self.finetune is not None and not callable(self.finetune):
            raise InputError(
                f"finetune is {type(self.finetune).__name__}; a function of (model, teacher) or None was expected."
            )
