"""The two registries that records need, so that they can be shown and answered without knowing by whom.

`VIEWS` turns a record into text, HTML, a figure or a live widget. `COMMANDS` takes what a person did on a
screen to the session that owns the record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from effwidgets.errors import EffError, UnknownNameError
from effwidgets.records.base import Json, Record, Settings
from effwidgets.registry import Registry

__all__ = ["COMMANDS", "VIEWS", "Command", "Handler", "Medium", "Shown", "View", "show", "views_of"]

Medium: TypeAlias = Literal["text", "html", "figure", "live", "frame", "csv", "markdown", "tree"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to show one type of record; what the entry-point group ``effwidgets.views`` announces.

    Attributes:
        shows: class of the records that it takes.
        medium: "text" draws a str, "html" a static HTML str, "figure" a plotly figure, "live" a widget; of the ways
            out (`effwidgets.records.exports`) "frame" draws a pandas table, "csv", "markdown" and "tree" a str.
        draw: takes the record, returns what the medium says. Pure but for "live".
        title: what a reader calls it ("Layer table").
        default: whether it is the one shown when nobody asks for another.
        by: of a figure, the quantities that it can be drawn by; ``draw`` then takes one of them, or None, as well.
    """

    shows: type
    medium: Medium
    draw: Callable[..., Any]
    title: str
    default: bool = False
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Record):
    """What a person asked for on a screen. Handled once for each ``id``."""

    origin: str
    verb: str
    args: Settings = ()
    id: str = ""


Handler: TypeAlias = Callable[[Command], None]

VIEWS: Registry[View] = Registry("view", "effwidgets.views")
COMMANDS: Registry[Handler] = Registry("open session")
"""Open sessions by their name (`Command.origin`): each queues the command and returns at once."""


def views_of(record: object, medium: Medium) -> tuple[tuple[str, View], ...]:
    """Return the views that can show ``record`` in ``medium``, the default one first."""
    fitting = [(name, view) for name, view in VIEWS.items() if view.medium == medium and isinstance(record, view.shows)]
    return tuple(sorted(fitting, key=lambda pair: not pair[1].default))


def _draw(record: object, medium: Medium) -> Any:
    fitting = views_of(record, medium)
    return fitting[0][1].draw(record) if fitting else None


def _shown_by(medium: Medium) -> list[str]:
    """Return the names of the types that have a view of this kind."""
    return sorted({view.shows.__name__ for _, view in VIEWS.items() if view.medium == medium})


def _in_notebook() -> bool:
    # Only a kernel can hold a live widget; a terminal IPython has no `kernel`.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def show(record: Shown, when_finished: Callable[[Callable[[Shown], None]], object] | None = None) -> None:
    """Show the live view where a kernel can hold one, and below it the static picture, as an output of its own.

    The static picture outlives the kernel and shows where no widget does. For work that is still going on,
    ``when_finished`` takes a function to call with the final record: the picture's place stays empty until then.
    """
    from IPython import display as ipython

    display: Any = ipython.display
    kernel = _in_notebook()
    if kernel:
        try:
            live = _draw(record, "live")
        except EffError as error:  # the front end was not built: the static picture still shows
            display({"text/plain": str(error)}, raw=True)
        else:
            if live is not None:
                display(live)
    if not kernel or when_finished is None:
        display(record._repr_mimebundle_(), raw=True)
        return
    empty = {"text/plain": "(the picture stands here when the work is finished)", "text/html": ""}
    slot = display(empty, raw=True, display_id=True)
    when_finished(lambda final: slot.update(final._repr_mimebundle_(), raw=True))


class Shown:
    """Mixin of the records (and the study) that have a view of their own."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Json:
        """Text and static HTML, for every front end."""
        del include, exclude
        bundle: Json = {"text/plain": _draw(self, "text") or repr(self)}
        if page := _draw(self, "html"):
            bundle["text/html"] = page
        return bundle

    def _ipython_display_(self) -> None:
        show(self)

    def _report_(self) -> Shown:
        """Return what a page about this shows."""
        return self

    def view(self) -> Any:
        """Return a live view of this: a widget, with ``.selection`` for what is selected on the page.

        Raises:
            EffError: the front end was not built.
            UnknownNameError: nothing is shown live for this type.
        """
        live = _draw(self, "live")
        if live is None:
            raise UnknownNameError("live view of", type(self).__name__, _shown_by("live"))
        return live

    def to_plotly(self, view: str | None = None, *, by: str | None = None) -> Any:
        """Return a plotly figure of this.

        Args:
            view: its name, whole ("layers_treemap") or only the end of it ("treemap"); left out: the default one.
            by: the quantity to draw by ("params", "macs", ...), where a figure has a choice.

        Raises:
            UnknownNameError: no such figure or quantity; the message names those there are.
        """
        fitting = dict(views_of(self, "figure"))
        if not fitting:
            raise UnknownNameError("figure of", type(self).__name__, _shown_by("figure"))
        if view is None:
            view = next(iter(fitting))
        short = [name for name in fitting if name.endswith(f"_{view}")]
        name = short[0] if view not in fitting and short else view
        if name not in fitting:
            raise UnknownNameError(f"figure of {type(self).__name__}", view, fitting)
        found = fitting[name]
        if by is not None and by not in found.by:
            raise UnknownNameError(f"quantity to draw {name} by,", by, found.by)
        return found.draw(self, by) if found.by else found.draw(self)
