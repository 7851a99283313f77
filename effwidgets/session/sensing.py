"""The verb that asks where it hurts: each technique at each place, one setting after the other."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from typing import TYPE_CHECKING, Final

from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Inputs
from effwidgets.records import Progress, Sensitivity, SensitivityProgress
from effwidgets.session.session import Session, session_of
from effwidgets.units import seconds_text

if TYPE_CHECKING:
    from effwidgets.search import SensitivityOptions

__all__ = ["progress_text", "sensitivity"]

_PARTS: Final[weakref.WeakKeyDictionary[Session, Sensitivity]] = weakref.WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def sensitivity(
    model: nn.Module, inputs: Inputs | None = None, *, options: SensitivityOptions | None = None
) -> Sensitivity:
    """Measure how much the outputs, and the score, suffer from each setting of each technique at each place.

    Each setting is applied alone to a private copy, fitted to one part of the calibration data, repaired as `apply`
    repairs it, and run on the part that nothing was fitted to. What an interrupted call measured is kept: called again
    with the same model and data it does what is missing. ``options.path`` keeps it on the disk as it goes.

    Args:
        model: any ``torch.nn.Module``; it is not changed.
        inputs: as in `profile`; left out: the call seen last.
        options: places, settings, calibration (left out: those data given last for this model), the score.

    Returns:
        A `Sensitivity`: a curve for each place; ``.ranked()`` has the most sensitive first.

    Raises:
        InputError: a record or file to go on with that is of another model or was measured otherwise.
        UnknownNameError: a family, technique or layer that there is not.
        ModelError: the model's forward fails.
        SearchError: the file cannot be written any more, or ``evaluate`` gives no number for the model as it is.

    Example:
        >>> import torch
        >>> from effwidgets import SensitivityOptions, sensitivity
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> found = sensitivity(model, torch.eye(64), options=SensitivityOptions(families=("factorize",), levels=2))
        >>> [row.layers for row in found]
        [('0',), ('2',)]
    """
    from effwidgets.search import SensitivityOptions
    from effwidgets.search import sensitivity as measure

    given: object = options
    if not isinstance(given, SensitivityOptions | None):
        raise InputError(f"options is {type(given).__name__}; SensitivityOptions(levels=5, ...) was expected.")
    session = session_of(model)
    call = session.call(inputs)
    asked = options or SensitivityOptions()
    data = session.data(asked.calibration, call)

    def tell(progress: SensitivityProgress) -> None:
        said = progress_text(progress)
        session.bench.progress(Progress(state="working", message=said, done=progress.done, planned=progress.planned))
        if asked.progress is not None:
            asked.progress(progress)

    named = dataclasses.replace(asked, calibration=data, progress=tell)
    with _LOCK:
        known = None if asked.resume is not None else _PARTS.get(session)
    try:
        found = measure(model, call, options=named, check=session.check, known=known, origin=session.name)
    except BaseException as error:
        part = vars(error).get("partial")
        if isinstance(part, Sensitivity) and part.points:
            with _LOCK:
                _PARTS[session] = part
        session.bench.progress(Progress(state="failed", message="Sensitivity was not measured to the end."))
        raise
    with _LOCK:
        _PARTS.pop(session, None)
    session.seen, session.calibration = call, data
    session.bench.progress(Progress(state="done"))
    return found


def progress_text(progress: SensitivityProgress) -> str:
    """Say in a line how far it is.

    >>> progress_text(SensitivityProgress(done=3, planned=12, step=None, seconds=6.0, seconds_left=18.0))
    '3 of 12 settings, about 18 s left'
    """
    left = progress.seconds_left
    about = "" if left is None or progress.done == progress.planned else f", about {_rough(left)} left"
    where = "" if progress.step is None else f": {progress.step}"
    return f"{progress.done} of {progress.planned} settings{about}{where}"


def _rough(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 60 else seconds_text(round(seconds))
