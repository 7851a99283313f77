"""The words that change a copy of the model: suggest, preview, apply, search; and keep what came of it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word
from effwidgets.records import Plan, Suggestions
from effwidgets.session import apply, preview, report, session_of, sites, suggest
from effwidgets.transforms import load, save

__all__ = ["CHANGING"]


def _suggest(args: Namespace, scope: Scope) -> Suggestions:
    calibration = scope.maybe(args.calibration)
    model, inputs = scope.model(args.model), scope.inputs(args.inputs)
    return suggest(model, inputs, goal=args.goal, budget=args.budget, calibration=calibration)


def _sites(args: Namespace, scope: Scope) -> Any:
    technique = None if args.technique is None else args.technique.split(",")
    return sites(scope.model(args.model), scope.inputs(args.inputs), technique=technique)


def _preview(args: Namespace, scope: Scope) -> Any:
    model = scope.model(args.model)
    if args.plan is None and args.pick is None:
        raise InputError("Say what to look at: --pick 0,2 of the suggestions, or --plan PLAN.")
    return preview(model, _chosen(args, scope, session_of(model).desk))


def _apply(args: Namespace, scope: Scope) -> Any:
    model = scope.model(args.model)
    session = session_of(model)
    if args.plan is None and args.pick is None:
        if session.applied is None:
            raise InputError(
                "Nothing was applied yet. Tick suggestions and press Apply, or write --pick 0,2 or --plan PLAN."
            )
        return session.applied
    return apply(model, _chosen(args, scope, session.desk), repair=not args.no_repair)


def _chosen(args: Namespace, scope: Scope, desk: Any) -> Plan | Suggestions:
    if args.plan is not None:
        plan: Plan | Suggestions = scope.value(args.plan)
        return plan
    if desk is None:
        raise InputError("There is no list to pick from yet. Run %effdl suggest first.")
    try:
        numbers = [int(number) for number in args.pick.split(",")]
    except ValueError:
        raise InputError(f"--pick {args.pick} was given; numbers such as 0,2 were expected.") from None
    picked: Plan = desk.suggestions.plan(*numbers)
    return picked


def _undo(args: Namespace, scope: Scope) -> Any:
    return session_of(scope.model(args.model)).undo()


def _explore(args: Namespace, scope: Scope) -> Any:
    from effwidgets.search import SearchOptions
    from effwidgets.session import explore

    options = SearchOptions(calibration=scope.maybe(args.calibration))
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


def _save(args: Namespace, scope: Scope) -> Any:
    return save(scope.value(args.applied), args.path)


def _load(args: Namespace, scope: Scope) -> Any:
    return load(args.path, scope.value(args.build))


def _report(args: Namespace, scope: Scope) -> Any:
    return report(scope.value(args.thing), args.path)


CHANGING: Final = (
    Word("suggest", "Rank what could be factored, pruned or narrowed.", _suggest)
    .takes_call()
    .takes("--goal", default="macs", help="what to save: macs, params, param_bytes, inference_peak_bytes")
    .takes("--budget", help="what the goal may be afterwards, such as 40%%, 1.2M or 3.5MB")
    .takes_calibration(),
    Word("sites", "List where each technique can be applied, and why not elsewhere.", _sites)
    .takes_call()
    .takes("--technique", metavar="A,B", help="names of techniques, such as low_rank,int8; left out: all"),
    Word("preview", "Show what suggestions or a plan would change, without building anything.", _preview)
    .takes_model()
    .takes_choice(),
    Word("apply", "Apply suggestions to a copy; without --pick or --plan, return what was applied last.", _apply)
    .takes_model()
    .takes_choice()
    .takes("--no-repair", action="store_true", help="leave batch-norm statistics as they are"),
    Word("undo", "Take back what was applied last.", _undo).takes_model(),
    Word("explore", "Search the Pareto front; shows the live view at once.", _explore)
    .takes_call()
    .takes("--evaluate", required=True, metavar="F", help="a function that scores a model")
    .takes_calibration(),
    Word("pareto", "Show the search begun last.", _pareto).takes_model(),
    Word("save", "Save what was applied: a recipe in JSON, tensors in safetensors.", _save)
    .takes("applied", help="a variable that holds what apply returned")
    .takes("path", help="a folder"),
    Word("load", "Rebuild a saved model.", _load)
    .takes("path", help="the folder that was saved")
    .takes("build", help="a function that builds the dense model"),
    Word("report", "Write what a word returned as one HTML file.", _report)
    .takes("thing", help="a variable")
    .takes("path", help="the file to write"),
)
"""In the order of the manual."""
