"""The words that search: begin one, show it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word, budgets_in, names_in
from effwidgets.session import explore, session_of

__all__ = ["SEARCHING"]

_NAMED: Final = ("threads", "processes")


def _explore(args: Namespace, scope: Scope) -> Any:
    from effwidgets.search import SearchOptions

    options = SearchOptions(
        calibration=scope.maybe(args.calibration),
        finetune=scope.maybe(args.finetune),
        trials=args.trials,
        sampler=args.sampler,
        objectives=tuple(names_in(args.objectives) or ("macs",)),
        budgets=budgets_in(args.budget),
        better=args.better,
        executor=args.executor if args.executor in _NAMED else scope.maybe(args.executor),
        workers=args.workers,
        store=args.store,
        seed=args.seed,
    )
    study = explore(
        scope.model(args.model), scope.inputs(args.inputs), evaluate=scope.value(args.evaluate), options=options
    )
    study.start()
    return study


def _pareto(args: Namespace, scope: Scope) -> Any:
    study = session_of(scope.model(args.model)).study
    if study is None:
        raise InputError("There is no search of this model yet. Start one: %effdl explore MODEL INPUTS --evaluate F.")
    return study


SEARCHING: Final = (
    Word("explore", "Search the Pareto front; shows the live view at once.", _explore)
    .takes_call()
    .takes("--evaluate", required=True, metavar="F", help="a function that scores a model")
    .takes("--trials", type=int, help="candidates to try; left out: the ladder alone")
    .takes("--sampler", default="auto", help="auto, tpe, nsga2, random, grid or ladder")
    .takes("--objectives", metavar="A,B", help="one or two costs to save, such as macs,latency_s; left out: macs")
    .takes(
        "--budget",
        action="append",
        metavar="COST=LIMIT,...",
        help="the most that costs may be: shares or amounts, such as macs=50%%,bytes=1.2MB,latency_s=60%%",
    )
    .takes("--better", default="higher", help="higher or lower: where the score improves")
    .takes("--finetune", metavar="F", help="what trains a candidate: a function of (model, teacher), as distill gives")
    .takes("--executor", metavar="E", help="threads, processes, or a variable that holds an executor or a client")
    .takes("--workers", type=int, default=1, help="candidates tried at once")
    .takes("--store", metavar="PATH", help="a folder that keeps the search, so that it can go on later")
    .takes("--seed", type=int, default=0, help="of the sampler and of the training")
    .takes_calibration(),
    Word("pareto", "Show the search begun last.", _pareto).takes_model(),
)
"""In the order of the manual."""
