"""The live views: one anywidget for all of them; the payload says which one is drawn.

Imported lazily, through the entry points: it needs Jupyter's widgets and the built page code.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from effwidgets.errors import EffError, UnknownNameError
from effwidgets.records import Profile, StudyState, Suggestions, View
from effwidgets.views import layers, pareto, suggestions
from effwidgets.views.layers_figure import draw_figure as layers_figure
from effwidgets.views.pareto_figure import draw_figure as pareto_figure
from effwidgets.views.suggestions_figure import draw_figure as suggestions_figure
from effwidgets.widgets.board import BOARD
from effwidgets.widgets.obey import GONE, GoneError, obey
from effwidgets.widgets.places import Place, here

__all__ = ["LAYERS", "PARETO", "SUGGESTIONS", "LiveView", "bundle"]

_FIGURES: dict[str, Callable[[Any], Any]] = {
    "layers": layers_figure,
    "suggestions": suggestions_figure,
    "pareto": pareto_figure,
}
_MOST = 8  # open views of one thing, where no front end says which cells ran again
_OPEN: weakref.WeakKeyDictionary[LiveView, tuple[Place, tuple[str, str]]] = weakref.WeakKeyDictionary()


@functools.cache
def bundle(name: str) -> str:
    """Return the text of ``views.js`` or ``views.css`` as it was built into the package.

    Raises:
        EffError: it was not built.
    """
    path = files("effwidgets") / "static" / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EffError(
            f"The live views need effwidgets/static/{name}, which is not there: this is a source tree whose page code "
            f"was not built. Run `npm ci && npm run build` in its js/ folder, or install the wheel. Text, static HTML "
            f"and to_plotly() work without it."
        ) from error


class LiveView(anywidget.AnyWidget):
    """A live layer table, suggestion list or Pareto view.

    It shows what its session lays on the board, and hands clicks back to it as commands. Close it, or run its cell
    again, and it is forgotten.

    Attributes:
        payload: what the page draws; see `effwidgets.views.wire`.
        selection: what is selected on the page: names of layers, indices of suggestions, numbers of candidates.
            Readable and settable in Python.
        status: ``{"state": "gone", "message": ...}`` once the session is gone; else empty.
        key: what the page signs its commands with, so that an answer finds the view that asked.
        turned: whether it shows something else than at first: a layer table whose Suggest was pressed.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    payload = traitlets.Dict().tag(sync=True)
    selection: Any = traitlets.List().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    key = traitlets.Unicode().tag(sync=True)
    turned = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(self, payload: Mapping[str, Any]) -> None:
        # Payloads come from the publisher's thread, selections from the shell's: traitlets holds notifications without
        # a lock, and one would swallow the other.
        self._guard = threading.RLock()
        self._topic = (str(payload["origin"]), str(payload["view"]))
        self._shown = self._topic[1]
        self._heard = {self._shown}
        key = uuid.uuid4().hex
        chosen = list(payload.get("chosen", ()))
        super().__init__(
            payload=dict(payload), selection=chosen, key=key, _esm=bundle("views.js"), _css=bundle("views.css")
        )
        self.on_msg(self._answer)
        place = here()
        _retire(place, self._topic)
        _OPEN[self] = (place, self._topic)
        if self._topic[0]:
            BOARD.subscribe(*self._topic, self._show)
            BOARD.subscribe(self._topic[0], f"turn/{key}", self._turn)
            self._ask("refresh", {"view": self._topic[1], "goal": payload.get("goal")})

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what the page changed."""
        with self._guard:
            super().set_state(sync_data)

    def to_plotly(self) -> Any:
        """Return what is shown now as a ``plotly.graph_objects.Figure``.

        Raises:
            UnknownNameError: there is no figure for this view.
        """
        if self._shown not in _FIGURES:
            raise UnknownNameError("figure of a live view", self._shown, _FIGURES)
        return _FIGURES[self._shown](self.payload)

    def close(self) -> None:
        """End the view here and on the page."""
        for view in self._heard:
            BOARD.unsubscribe(self._topic[0], view, self._show)
        BOARD.unsubscribe(self._topic[0], f"turn/{self.key}", self._turn)
        _OPEN.pop(self, None)
        super().close()

    @traitlets.observe("selection")
    def _selected(self, change: Mapping[str, Any]) -> None:
        # The session keeps the selection too, so that it is read without holding the view.
        self._ask("select", {"view": self._shown, "chosen": list(change["new"])})

    def _ask(self, verb: str, args: Mapping[str, Any]) -> None:
        with contextlib.suppress(EffError):  # a view without a session still shows what it has
            obey({"origin": self._topic[0], "verb": verb, "args": args})

    def _show(self, payload: dict[str, Any]) -> None:
        if payload["view"] == self._shown:
            with self._guard:
                self.payload = payload

    def _turn(self, message: dict[str, Any]) -> None:
        # What this very view asked for: another view in its place, or why not.
        if "payload" not in message:
            self._say("failed", str(message.get("message", "")))
            return
        payload = message["payload"]
        with self._guard, self.hold_sync():  # one message: the page must not draw one without the other
            if payload["view"] not in self._heard:
                self._heard.add(payload["view"])
                BOARD.subscribe(self._topic[0], payload["view"], self._show)
            self._shown = payload["view"]
            self.selection = []
            self.payload = payload
            self.turned = self._shown != self._topic[1]

    def _answer(self, _widget: object, content: object, _buffers: object) -> None:
        # On whatever thread the kernel chose: hand over and return.
        if not isinstance(content, Mapping) or content.get("kind") != "command":
            return
        try:
            obey(content)
        except GoneError:
            self._say("gone", GONE)
        except EffError as error:
            self._say("failed", str(error))

    def _say(self, state: str, message: str) -> None:
        said = {"state": state, "message": message, "done": 0, "planned": 0}
        with self._guard:
            if state == "gone":
                self.status = said
            if "status" in self.payload:
                self.payload = {**self.payload, "status": said}
            elif state == "gone":
                return
            elif "message" in self.payload:
                self.payload = {**self.payload, "message": message}
            else:
                notes = [note for note in self.payload.get("notes", []) if note != message]
                self.payload = {**self.payload, "notes": [*notes, message]}

    def __repr__(self) -> str:
        origin, view = self._topic
        return f"LiveView({view} of {self.payload.get('title', origin)})"


def _retire(place: Place, topic: tuple[str, str]) -> None:
    # Jupyter keeps every widget that was not closed for as long as the kernel lives.
    held = list(_OPEN.items())
    ended = [view for view, (made_at, _) in held if place.replaces(made_at)]
    same = [view for view, (_, shown) in held if shown == topic and view not in ended]
    for view in [*ended, *same[: max(0, len(same) - _MOST + 1)]]:
        view.close()


LAYERS = View(
    shows=Profile,
    medium="live",
    draw=lambda profile: LiveView(layers.payload(profile)),
    title="Layer table",
    default=True,
)
SUGGESTIONS = View(
    shows=Suggestions,
    medium="live",
    draw=lambda found: LiveView(suggestions.payload(found)),
    title="Suggestions",
    default=True,
)
PARETO = View(
    shows=StudyState,
    medium="live",
    draw=lambda state: LiveView(pareto.payload(state)),
    title="Pareto front",
    default=True,
)
