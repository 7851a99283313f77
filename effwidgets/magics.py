"""``%effdl`` and ``%%effdl``: the verbs as one line."""

from __future__ import annotations

import argparse
import ast
import difflib
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from torch import nn

from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.line import words_of
from effwidgets.profiling import ProfileOptions
from effwidgets.reconcile import ReconcileOptions
from effwidgets.records import Plan, Suggestions
from effwidgets.session import (
    apply,
    compare,
    disk,
    health,
    preview,
    profile,
    reconcile,
    report,
    session_of,
    sessions,
    suggest,
    sweep,
)
from effwidgets.transforms import load, save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["WORDS", "effdl", "register", "unregister"]


class _Parser(argparse.ArgumentParser):
    """An argument parser whose faults are `InputError`, not an exit."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}. {' '.join(self.format_usage().split())}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        del status
        raise _Help(message or self.format_help())


class _Help(Exception):  # noqa: N818  not an error: the text that -h asked for
    pass


class _Word:
    """One word of the magic: its parser, and what it does."""

    def __init__(self, name: str, summary: str, does: Callable[[argparse.Namespace, _Scope], Any]) -> None:
        self.name = name
        self.summary = summary
        self.does = does
        self.parser = _Parser(prog=f"%effdl {name}", description=summary, add_help=True)

    def takes(self, *names: str, **how: Any) -> _Word:
        self.parser.add_argument(*names, **how)
        return self


_OF_IPYTHON = frozenset({"In", "Out", "exit", "get_ipython", "open", "quit"})  # in every notebook; nobody meant them


class _Scope:
    """The names of the notebook, and how expressions in a line are read."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def value(self, text: str) -> Any:
        """Evaluate one expression; an unknown name is answered with the closest known ones."""
        try:
            return eval(text, self.names)  # noqa: S307  it is the user's own line
        except NameError as error:
            known = [name for name in self.names if not name.startswith("_") and name not in _OF_IPYTHON]
            close = difflib.get_close_matches(str(error.name), known, n=5, cutoff=0.4)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise InputError(f"The notebook has no variable {error.name!r}.{hint}") from error
        except SyntaxError as error:
            raise InputError(f"{text!r} is no expression. Quote what contains spaces, or name a variable.") from error
        except Exception as error:
            raise InputError(f"{text} raised {type(error).__name__}: {error}") from error

    def model(self, text: str | None) -> nn.Module:
        """Return the model that ``text`` names; without text, the only one there is a session of."""
        if text is not None:
            found = self.value(text)
            if not isinstance(found, nn.Module):
                raise InputError(f"{text} is {type(found).__name__}; a torch.nn.Module was expected.")
            return found
        known = sessions()
        if len(known) != 1:
            titles = ", ".join(session.title for session in known) or "none was profiled yet"
            raise InputError(f"Name the model, because it is not clear which is meant ({titles}).")
        return known[0].model

    def inputs(self, texts: Sequence[str]) -> Any:
        values = [self.value(text) for text in texts]
        return None if not values else values[0] if len(values) == 1 else tuple(values)


def _profile(args: argparse.Namespace, scope: _Scope) -> Any:
    options = ProfileOptions(train=args.train, latency=args.latency)
    return profile(scope.model(args.model), scope.inputs(args.inputs), options=options)


def _reconcile(args: argparse.Namespace, scope: _Scope) -> Any:
    options = ReconcileOptions(train=args.train, backward=args.backward)
    return reconcile(scope.model(args.model), scope.inputs(args.inputs), with_=args.with_.split(","), options=options)


def _suggest(args: argparse.Namespace, scope: _Scope) -> Suggestions:
    calibration = scope.value(args.calibration) if args.calibration else None
    model, inputs = scope.model(args.model), scope.inputs(args.inputs)
    return suggest(model, inputs, goal=args.goal, budget=args.budget, calibration=calibration)


def _apply(args: argparse.Namespace, scope: _Scope) -> Any:
    model = scope.model(args.model)
    session = session_of(model)
    if args.plan is None and args.pick is None:
        if session.applied is None:
            raise InputError(
                "Nothing was applied yet. Tick suggestions and press Apply, or write --pick 0,2 or --plan PLAN."
            )
        return session.applied
    return apply(model, _chosen(args, scope, session.desk), repair=not args.no_repair)


def _chosen(args: argparse.Namespace, scope: _Scope, desk: Any) -> Plan | Suggestions:
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


def _compare(args: argparse.Namespace, scope: _Scope) -> Any:
    return compare(scope.value(args.before), scope.value(args.after))


def _preview(args: argparse.Namespace, scope: _Scope) -> Any:
    model = scope.model(args.model)
    if args.plan is None and args.pick is None:
        raise InputError("Say what to look at: --pick 0,2 of the suggestions, or --plan PLAN.")
    return preview(model, _chosen(args, scope, session_of(model).desk))


def _sweep(args: argparse.Namespace, scope: _Scope) -> Any:
    sizes = {name: _sizes(name, getattr(args, name)) for name in ("batch", "resolution", "sequence", "sizes")}
    dims = scope.value(args.dims) if args.dims else None
    options = ProfileOptions(train=args.train, optimizer=args.optimizer)
    return sweep(scope.model(args.model), scope.inputs(args.inputs), **sizes, dims=dims, options=options)


def _sizes(name: str, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(size) for size in text.strip("()[] ").split(",") if size.strip()]
    except ValueError:
        raise InputError(f"--{name} {text} was given; whole numbers such as 1,2,4,8 were expected.") from None


def _undo(args: argparse.Namespace, scope: _Scope) -> Any:
    return session_of(scope.model(args.model)).undo()


def _explore(args: argparse.Namespace, scope: _Scope) -> Any:
    from effwidgets.search import SearchOptions
    from effwidgets.session import explore

    options = SearchOptions(calibration=scope.value(args.calibration) if args.calibration else None)
    study = explore(
        scope.model(args.model), scope.inputs(args.inputs), evaluate=scope.value(args.evaluate), options=options
    )
    study.start()
    return study


def _pareto(args: argparse.Namespace, scope: _Scope) -> Any:
    study = session_of(scope.model(args.model)).study
    if study is None:
        raise InputError("There is no search of this model yet. Start one: %effdl explore MODEL INPUTS --evaluate F.")
    return study


def _health(args: argparse.Namespace, scope: _Scope) -> Any:
    loss, target = (scope.value(text) if text else None for text in (args.loss, args.target))
    return health(scope.model(args.model), scope.inputs(args.inputs), loss=loss, target=target, train=not args.eval)


def _disk(args: argparse.Namespace, scope: _Scope) -> Any:
    return disk(scope.model(args.model), compress=not args.no_compress)


def _save(args: argparse.Namespace, scope: _Scope) -> Any:
    return save(scope.value(args.applied), args.path)


def _load(args: argparse.Namespace, scope: _Scope) -> Any:
    return load(args.path, scope.value(args.build))


def _report(args: argparse.Namespace, scope: _Scope) -> Any:
    return report(scope.value(args.thing), args.path)


def _trace(args: argparse.Namespace, scope: _Scope) -> None:
    del args, scope
    print("".join(_TRACE) or "No word of %effdl has failed yet.")  # noqa: T201


def _help(args: argparse.Namespace, scope: _Scope) -> None:
    del scope
    if args.word is None:
        print(manual())  # noqa: T201  help is printed
    else:
        print(_word(args.word).parser.format_help())  # noqa: T201


def _words() -> dict[str, _Word]:
    model: dict[str, Any] = {"nargs": "?", "help": "a variable or expression; left out: the only model profiled so far"}
    inputs: dict[str, Any] = {"nargs": "*", "help": "what the model is called with; left out: the call seen last"}
    calibration: dict[str, Any] = {"metavar": "DATA", "help": "real inputs: a batch, a list of batches, a DataLoader"}
    words = [
        _Word("profile", "Count parameters, FLOPs and memory of every layer.", _profile)
        .takes("model", **model)
        .takes("inputs", **inputs)
        .takes("--train", action="store_true", help="profile the model in training mode")
        .takes("--latency", action="store_true", help="also measure how long a forward takes, and each layer"),
        _Word("reconcile", "Match our count with fvcore's and FlopCounterMode's, and explain it.", _reconcile)
        .takes("model", **model)
        .takes("inputs", **inputs)
        .takes("--with", dest="with_", default="fvcore,flop_counter", metavar="A,B", help="also: flop_counter_meta")
        .takes("--backward", action="store_true", help="count the backward too")
        .takes("--train", action="store_true", help="count in training mode"),
        _Word("suggest", "Rank what could be factored, pruned or narrowed.", _suggest)
        .takes("model", **model)
        .takes("inputs", **inputs)
        .takes("--goal", default="macs", help="what to save: macs, params, param_bytes, inference_peak_bytes")
        .takes("--budget", help="what the goal may be afterwards, such as 40%%, 1.2M or 3.5MB")
        .takes("--calibration", **calibration),
        _Word("apply", "Apply suggestions to a copy; without --pick or --plan, return what was applied last.", _apply)
        .takes("model", **model)
        .takes("--pick", metavar="0,2", help="numbers in the list of suggestions")
        .takes("--plan", metavar="PLAN", help="a variable that holds a plan, a step or suggestions")
        .takes("--no-repair", action="store_true", help="leave batch-norm statistics as they are"),
        _Word("preview", "Show what suggestions or a plan would change, without building anything.", _preview)
        .takes("model", **model)
        .takes("--pick", metavar="0,2", help="numbers in the list of suggestions")
        .takes("--plan", metavar="PLAN", help="a variable that holds a plan, a step or suggestions"),
        _Word("compare", "Set two profiles side by side, layer by layer.", _compare)
        .takes("before", help="a variable that holds a profile")
        .takes("after", help="another one"),
        _Word("sweep", "Say what other sizes of the inputs would cost, and how each cost grows.", _sweep)
        .takes("model", **model)
        .takes("inputs", **inputs)
        .takes("--batch", metavar="1,2,4", help="sizes of the batch")
        .takes("--resolution", metavar="128,224", help="sizes of the shorter side of pictures")
        .takes("--sequence", metavar="128,512", help="numbers of tokens")
        .takes("--sizes", metavar="1,2,4", help="sizes of what --dims names")
        .takes("--dims", metavar="DIMS", help="which sizes follow, such as {'input_ids': 1}")
        .takes("--train", action="store_true", help="in training mode")
        .takes("--optimizer", default="sgd", help="whose state is part of the training peak"),
        _Word("undo", "Take back what was applied last.", _undo).takes("model", **model),
        _Word("explore", "Search the Pareto front; shows the live view at once.", _explore)
        .takes("model", **model)
        .takes("inputs", **inputs)
        .takes("--evaluate", required=True, metavar="F", help="a function that scores a model")
        .takes("--calibration", **calibration),
        _Word("pareto", "Show the search begun last.", _pareto).takes("model", **model),
        _Word("health", "Run one real batch forward and back on a copy: gradients, dead and saturated units.", _health)
        .takes("model", **model)
        .takes("inputs", **inputs)
        .takes("--loss", metavar="F", help="a function of the outputs, and of the target where there is one")
        .takes("--target", metavar="Y", help="what the outputs are compared to")
        .takes("--eval", action="store_true", help="run in eval mode"),
        _Word("disk", "Measure the model as a file, saved and compressed.", _disk)
        .takes("model", **model)
        .takes("--no-compress", action="store_true", help="leave out the compression, which takes most of the time"),
        _Word("save", "Save what was applied: a recipe in JSON, tensors in safetensors.", _save)
        .takes("applied", help="a variable that holds what apply returned")
        .takes("path", help="a folder"),
        _Word("load", "Rebuild a saved model.", _load)
        .takes("path", help="the folder that was saved")
        .takes("build", help="a function that builds the dense model"),
        _Word("report", "Write a profile, suggestions or a study as one HTML file.", _report)
        .takes("thing", help="a variable")
        .takes("path", help="the file to write"),
        _Word("trace", "Print where the last error of %%effdl happened.", _trace),
        _Word("help", "Say what there is.", _help).takes("word", nargs="?", help="one word in full"),
    ]
    return {word.name: word for word in words}


WORDS = _words()
_TRACE: list[str] = []  # of the last error, for `%effdl trace`


def _word(name: str) -> _Word:
    if name not in WORDS:
        raise UnknownNameError("word of %effdl", name, WORDS)
    return WORDS[name]


def manual() -> str:
    """Return what ``%effdl help`` prints."""
    lines = [f"  %effdl {word.parser.format_usage().split('%effdl ', 1)[1].strip()}" for word in WORDS.values()]
    told = "\n".join(f"  {word.name:<9} {word.summary}" for word in WORDS.values())
    usage = "\n".join(" ".join(line.split()) for line in lines)
    return f"%effdl WORD ...  in full: %effdl help WORD\n\n{told}\n\n{usage}"


def effdl(line: str, cell: str | None = None, *, names: dict[str, Any]) -> Any:
    """Do what one line says, and return what it gave.

    Args:
        line: a word and its arguments; an expression with spaces outside of its brackets in quotes.
        cell: the rest of a ``%%effdl`` cell: it is run first, so that the line can name what it makes.
        names: the notebook's variables.

    Raises:
        EffError: the word is unknown, an argument is wrong, or the verb failed.
    """
    if cell is not None:
        exec(compile(ast.parse(cell), "<%%effdl>", "exec"), names)  # noqa: S102  it is the user's own cell
    texts = words_of(line)
    word = _word(texts[0]) if texts else WORDS["help"]
    try:
        return word.does(word.parser.parse_args(texts[1:]), _Scope(names))
    except _Help as asked:
        print(asked)  # noqa: T201


def _magic(shell: InteractiveShell) -> Callable[[str, str | None], Any]:
    def run(line: str, cell: str | None = None) -> Any:
        try:
            return effdl(line, cell, names=shell.user_ns)
        except EffError as error:
            _TRACE[:] = traceback.format_exception(error)
            # IPython asks the error itself how it is shown: as its message, without a page of our own frames.
            told = [f"{type(error).__name__}: {error}", "(%effdl trace shows where it happened)"]
            error._render_traceback_ = lambda: told  # type: ignore[attr-defined]  # IPython's protocol
            raise

    run.__doc__ = manual() + "\n\nIn a cell of its own, %%effdl WORD ... first runs the cell, then the line."
    return run


def register(shell: InteractiveShell) -> None:
    """Add ``%effdl`` and ``%%effdl`` to ``shell``."""
    add: Any = shell.register_magic_function
    add(_magic(shell), "line_cell", "effdl")


def unregister(shell: InteractiveShell) -> None:
    """Take them away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("effdl", None)
