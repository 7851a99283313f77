"""What the left panel of JupyterLab calls in a kernel: its channels, the models there, the layer table of one."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypedDict

from effwidgets.errors import EffError, InputError, UnknownNameError
from effwidgets.records import Profile, views_of
from effwidgets.seen import Watch, call_from, guess_for, shapes_text
from effwidgets.session import session_of, sessions
from effwidgets.widgets.comm import Channels

if TYPE_CHECKING:
    from torch import nn

    from effwidgets.profiling import Call

__all__ = ["ModelRow", "attach", "detach", "models_in", "open_model"]


class ModelRow(TypedDict):
    """One model, as the panel lists it."""

    name: str
    kind: str
    params: int
    param_bytes: int
    where: str
    shape: str | None
    guess: str | None
    guess_note: str


class _Attached:
    """What is there once, after `attach`."""

    channels: Channels | None = None
    shown: weakref.ref[Any] | None = None


def _namespace() -> dict[str, Any]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        raise InputError("There is no IPython here. The panel works in a notebook's kernel.")
    names: dict[str, Any] = shell.user_ns
    return names


def _values() -> list[object]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return [] if shell is None else list(shell.user_ns.values())


_WATCH = Watch(_values)


def attach() -> None:
    """Open the panel's channels in the running kernel, and begin to see what models are called with.

    Called by the panel, silently, once torch is imported; again is no harm.

    Raises:
        InputError: there is no running kernel.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    manager = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    if manager is None:
        raise InputError("There is no running kernel here. The panel works in a notebook's kernel.")
    if _Attached.channels is None:
        _Attached.channels = Channels(version("effwidgets"), {"list": _list})
    _Attached.channels.register(manager)
    _WATCH.start()


def detach() -> None:
    """Undo `attach` as far as the kernel allows: no call is watched any more."""
    _WATCH.stop()
    _Attached.channels = None


def _list(_message: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "models", "models": models_in(_namespace())}


def models_in(namespace: Mapping[str, object]) -> list[ModelRow]:
    """Return the models among the names of a notebook, largest first.

    Left out: names that begin with an underscore, modules without a parameter or buffer (losses, activations). A
    model under several names is listed once.
    """
    found = _named_models(namespace)
    _WATCH.expect(found.values())
    rows = [_row(name, model) for name, model in found.items()]
    return sorted(rows, key=lambda row: -row["params"])


def _named_models(namespace: Mapping[str, Any]) -> dict[str, nn.Module]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    found: dict[str, nn.Module] = {}
    taken: set[int] = set()
    for name, value in list(namespace.items()):
        if name.startswith("_") or id(value) in taken or not _is_module(torch, value):
            continue
        taken.add(id(value))
        found[name] = value
    return found


def _is_module(torch: Any, value: Any) -> bool:
    try:
        if not isinstance(value, torch.nn.Module):
            return False
        return next(value.parameters(), None) is not None or next(value.buffers(), None) is not None
    except Exception:  # noqa: BLE001  a foreign object may raise when it is merely asked what it is
        return False


def _row(name: str, model: nn.Module) -> ModelRow:
    params, size, places = _size(model)
    guess = guess_for(model)
    call = _seen(model)
    return {
        "name": name,
        "kind": type(model).__name__,
        "params": params,
        "param_bytes": size,
        "where": ", ".join(places),
        "shape": _WATCH.shape(model) or (None if call is None else shapes_text(call) or None),
        "guess": None if guess is None else guess.shape,
        "guess_note": "" if guess is None else guess.note,
    }


def _size(model: nn.Module) -> tuple[int, int, list[str]]:
    params = size = 0
    places: dict[str, None] = {}
    for kind in ("parameters", "buffers"):
        for tensor in getattr(model, kind)():  # each tensor once, however often it is used
            places[str(tensor.device)] = None
            try:
                count = tensor.numel()
            except (RuntimeError, ValueError):  # a lazy layer that was not called yet has no size
                continue
            params += count if kind == "parameters" else 0
            size += count * tensor.element_size()
    return params, size, list(places)


def _seen(model: nn.Module) -> Call | None:
    call = _WATCH.call(model)
    if call is not None:
        return call
    for session in sessions():
        try:
            if session.model is model:
                return session.seen
        except InputError:  # its model was deleted
            continue
    return None


def open_model(name: str, shape_text: str | None = None) -> None:
    """Show the layer table of a model of the notebook.

    Without ``shape_text`` the call seen last is profiled; where none was seen, only parameters are shown. What goes
    wrong is shown above the parameters, not raised: a wrong guess is part of the game.

    Args:
        name: the model's name in the notebook.
        shape_text: shape of the input ("1, 3, 32, 32"), several parted by semicolons.
    """
    try:
        models = _named_models(_namespace())
        if name not in models:
            raise UnknownNameError("model", name, models)
    except EffError as error:
        _show_error(error)
        return
    _show(_profile(models[name], shape_text))


def _profile(model: nn.Module, shape_text: str | None) -> Profile:
    session = session_of(model)
    try:
        seen = _seen(model)
        call = call_from(model, shape_text, seen) if shape_text else seen
        return session.parameters() if call is None else session.profile(call)
    except EffError as error:
        _show_error(error)
        return session.parameters()


def _show(profile: Profile) -> None:
    from IPython.display import display

    last = None if _Attached.shown is None else _Attached.shown()
    if last is not None:
        last.close()
    live = views_of(profile, "live")
    try:
        widget = live[0][1].draw(profile) if live else None
    except EffError as error:
        _show_error(error)
        widget = None
    if widget is None:
        display(profile._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]
    else:
        _Attached.shown = weakref.ref(widget)
        display(widget)  # type: ignore[no-untyped-call]


def _show_error(error: EffError) -> None:
    from IPython.display import display

    style = "margin:.5rem 0;padding:.5rem .75rem;border-left:3px solid var(--jp-error-color1,#b3362b)"
    page = f'<p role="alert" style="{style};overflow-wrap:anywhere">{escape(str(error))}</p>'
    display({"text/plain": str(error), "text/html": page}, raw=True)  # type: ignore[no-untyped-call]
