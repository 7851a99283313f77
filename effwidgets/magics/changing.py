"""The words that change a copy of the model: suggest, preview, apply, search; and keep what came of it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.searching import SEARCHING
from effwidgets.magics.word import Word, budgets_in, names_in
from effwidgets.records import Plan, Suggestions
from effwidgets.session import (
    apply,
    diff,
    estimate_plan,
    export,
    preview,
    replay,
    report,
    session_of,
    suggest,
)
from effwidgets.session.planned import Planned
from effwidgets.transforms import load, save

__all__ = ["CHANGING"]


def _suggest(args: Namespace, scope: Scope) -> Suggestions:
    calibration = scope.maybe(args.calibration)
    model, inputs = scope.model(args.model), scope.inputs(args.inputs)
    budget = budgets_in(args.budget) if "=" in (args.budget or "") else args.budget
    evaluate = scope.maybe(args.evaluate)
    return suggest(model, inputs, goal=args.goal, budget=budget, calibration=calibration, evaluate=evaluate)


def _preview(args: Namespace, scope: Scope) -> Any:
    model = scope.model(args.model)
    return preview(model, _named(args, scope, model))


def _estimate(args: Namespace, scope: Scope) -> Any:
    model = scope.model(args.model)
    return estimate_plan(model, _named(args, scope, model))


def _named(args: Namespace, scope: Scope, model: Any) -> Planned:
    if args.plan is None and args.pick is None:
        raise InputError("Say what to look at: --pick 0,2 of the suggestions, or --plan PLAN.")
    return _chosen(args, scope, session_of(model).desk)


def _apply(args: Namespace, scope: Scope) -> Any:
    model = scope.model(args.model)
    session = session_of(model)
    if args.plan is None and args.pick is None:
        if session.applied is None:
            raise InputError(
                "Nothing was applied yet. Tick suggestions and press Apply, or write --pick 0,2 or --plan PLAN."
            )
        return session.applied
    if args.no_repair and args.repair:
        raise InputError("--no-repair and --repair were both given; one of them was expected.")
    repair = names_in(args.repair) or not args.no_repair
    plan = _chosen(args, scope, session.desk)
    return apply(model, plan, calibration=scope.maybe(args.calibration), repair=repair)


def _chosen(args: Namespace, scope: Scope, desk: Any) -> Planned:
    if args.plan is not None:
        plan: Planned = scope.value(args.plan)
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
    session = session_of(scope.model(args.model))
    left = session.undo(args.step)
    if left is None:
        print(f"{session.title} is as it came: nothing is applied.")  # noqa: T201  a cell without an answer looks broken
    return left


def _diff(args: Namespace, scope: Scope) -> Any:
    return diff(scope.value(args.before), scope.maybe(args.after))


def _save(args: Namespace, scope: Scope) -> Any:
    return save(scope.value(args.applied), args.path)


def _load(args: Namespace, scope: Scope) -> Any:
    return load(args.path, scope.value(args.build))


def _replay(args: Namespace, scope: Scope) -> Any:
    model, inputs = scope.model(args.model), scope.inputs(args.inputs)
    return replay(args.path, model, inputs, calibration=scope.maybe(args.calibration))


def _export(args: Namespace, scope: Scope) -> Any:
    inputs = scope.maybe(args.inputs)
    return export(scope.value(args.model), inputs, args.path, format=args.format, dynamic=not args.this_batch)


def _report(args: Namespace, scope: Scope) -> Any:
    return report(scope.value(args.thing), args.path)


CHANGING: Final = (
    Word("suggest", "Rank what could be done, with what each step saves and its measured time.", _suggest)
    .takes_call()
    .takes(
        "--goal", default="macs", help="what to save: macs, params, bytes, peak_bytes, saved_bytes, download, latency"
    )
    .takes("--budget", help="what the goal may be afterwards, such as 40%%, 1.2M or 3.5MB; or macs=50%%,params=1.2M")
    .takes_calibration()
    .takes("--evaluate", metavar="F", help="a function that scores a model: each step is then scored alone"),
    Word("preview", "Show what suggestions or a plan would change, without building anything.", _preview)
    .takes_model()
    .takes_choice(),
    Word("estimate", "Say what they would change in cost, by arithmetic alone.", _estimate)
    .takes_model()
    .takes_choice(),
    Word("apply", "Apply suggestions to a copy; without --pick or --plan, return what was applied last.", _apply)
    .takes_model()
    .takes_choice()
    .takes_calibration()
    .takes(
        "--repair", metavar="A,B", help="repair by these only: least_squares, bias, batch_norm; left out: what helps"
    )
    .takes("--no-repair", action="store_true", help="leave all weights and statistics as the edits made them"),
    Word("undo", "Take back what was applied last, or one step of it.", _undo)
    .takes_model()
    .takes("step", nargs="?", type=int, help="the number of one step of it; left out: all of it"),
    Word("diff", "Show which modules went and which came.", _diff)
    .takes("before", help="a variable that holds a model, or what apply returned")
    .takes("after", nargs="?", help="another one; left out: what was applied to it last"),
    *SEARCHING,
    Word("save", "Save what was applied: a recipe in JSON, tensors in safetensors.", _save)
    .takes("applied", help="a variable that holds what apply returned")
    .takes("path", help="a folder"),
    Word("load", "Rebuild a saved model.", _load)
    .takes("path", help="the folder that was saved")
    .takes("build", help="a function that builds the dense model"),
    Word("replay", "Do what a saved recipe says to another model of the same architecture.", _replay)
    .takes("path", help="the folder that was saved")
    .takes_call()
    .takes_calibration(),
    Word("export", "Write a model as a program that needs none of its Python code.", _export)
    .takes("model", help="a variable that holds a model, or what apply returned")
    .takes("path", help="the file to write, such as small.pt2")
    .takes("--inputs", metavar="X", help="what it is called with; left out: the call seen last")
    .takes("--format", default="torch", help="torch or onnx")
    .takes("--this-batch", action="store_true", help="for batches of this size alone"),
    Word("report", "Write what a word returned as one HTML file.", _report)
    .takes("thing", help="a variable")
    .takes("path", help="the file to write"),
)
"""In the order of the manual."""
