"""What each command of a screen does to a session and its study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.profiling import Call
from effwidgets.records import Budget, Command, Plain, Plan, Profile, Progress
from effwidgets.session.desk import Workbench
from effwidgets.session.live import publish
from effwidgets.transforms import Applied
from effwidgets.views import layers as layers_view

if TYPE_CHECKING:
    from effwidgets.search import Study

__all__ = ["AT_ONCE", "Home", "act", "act_at_once"]

AT_ONCE = frozenset({"pause", "resume", "cancel", "select", "refresh", "set_budget"})
"""Verbs that only set something; they overtake what is queued."""

_QUEUED = ("suggest", "goal", "layers", "preview", "apply", "undo", "start")


class Home(Protocol):
    """What commands need of a session."""

    bench: Workbench
    selected: dict[str, tuple[Plain, ...]]

    @property
    def model(self) -> nn.Module: ...  # noqa: D102

    def call(self) -> Call: ...  # noqa: D102
    def suggest(self, *, goal: str) -> object: ...  # noqa: D102
    def apply(self, plan: Plan) -> object: ...  # noqa: D102
    def keep(self, applied: Applied, study: Study | None) -> object: ...  # noqa: D102
    def undo(self) -> object: ...  # noqa: D102
    def last_profile(self) -> Profile: ...  # noqa: D102
    def answer(self, command: Command, answer: Mapping[str, Any]) -> None: ...  # noqa: D102


def act_at_once(session: Home, study: Study | None, command: Command) -> None:
    """Do one of `AT_ONCE`, on whatever thread it came."""
    args = dict(command.args)
    if command.verb == "select":
        _select(session, study, args)
    elif command.verb == "refresh":
        _refresh(session, study, args)
    elif command.verb == "set_budget":
        _set_budget(session, study, command)
    elif study is not None:
        {"pause": study.pause, "resume": study.resume, "cancel": study.cancel}[command.verb]()


def _select(session: Home, study: Study | None, args: Mapping[str, Any]) -> None:
    given = args.get("chosen", ())
    chosen = tuple(given) if isinstance(given, list | tuple) else ()
    if study is None:
        session.selected[str(args.get("view"))] = chosen
    else:
        study.selection = tuple(int(number) for number in chosen)


def _set_budget(session: Home, study: Study | None, command: Command) -> None:
    # The page sends an amount in the unit of the cost; none lifts the budget.
    args: dict[str, Any] = dict(command.args)
    axis, limit = str(args.get("axis")), args.get("limit")
    if study is None:
        return
    try:
        study.set_budget(axis, None if limit is None else Budget(axis=axis, limit=float(limit)))
    except (EffError, TypeError, ValueError) as error:
        session.answer(command, {"message": str(error)})


def _refresh(session: Home, study: Study | None, args: Mapping[str, Any]) -> None:
    # A view that was just made may have missed what happened since its record was taken.
    if study is not None:
        publish(study)
        return
    desk = session.bench.desk
    if args.get("view") == "suggestions" and desk is not None and desk.suggestions.goal == args.get("goal"):
        session.bench.publish()


def act(session: Home, study: Study | None, command: Command) -> None:
    """Do a queued command, on the queue's thread.

    Raises:
        EffError: it could not be done; the session shows why.
    """
    args: dict[str, Any] = dict(command.args)
    match command.verb:
        case "suggest" | "goal":
            session.bench.progress(Progress(state="working", message="Measuring what each change would cost…"))
            session.suggest(goal=str(args.get("goal", "macs")))
            if command.verb == "suggest":
                session.answer(command, {"payload": dict(session.bench.payload() or {})})
        case "layers":
            session.answer(command, {"payload": dict(layers_view.payload(session.last_profile()))})
        case "preview":
            session.bench.preview(session.model, session.call(), tuple(args.get("indices", ())))
        case "apply" if study is not None:
            session.keep(study.apply(int(args["number"])), study)
        case "apply":
            _apply_chosen(session, tuple(args.get("indices", ())))
        case "undo":
            session.undo()
        case "start" if study is not None:
            study.start()
        case _:
            raise UnknownNameError("command", command.verb, [*_QUEUED, *sorted(AT_ONCE)])


def _apply_chosen(session: Home, indices: tuple[int, ...]) -> None:
    if session.bench.desk is None or not indices:
        raise InputError("No suggestion is ticked. Tick at least one, then press Apply.")
    session.bench.progress(Progress(state="working", message=f"Applying {len(indices)}…"))
    session.apply(session.bench.desk.suggestions.plan(*indices))
