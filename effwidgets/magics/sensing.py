"""The word that asks where it hurts."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word, names_in
from effwidgets.records import SensitivityProgress
from effwidgets.search import SensitivityOptions
from effwidgets.session import sensitivity
from effwidgets.session.sensing import progress_text

__all__ = ["SENSING"]

_EVERY_S = 0.5


def _sensitivity(args: Namespace, scope: Scope) -> Any:
    options = SensitivityOptions(
        families=_tuple(args.family),
        transforms=_tuple(args.technique),
        layers=_tuple(args.layers),
        levels=args.levels,
        samples=args.samples,
        calibration=scope.maybe(args.calibration),
        evaluate=scope.maybe(args.evaluate),
        better=args.better,
        path=args.path,
        progress=_teller(),
    )
    return sensitivity(scope.model(args.model), scope.inputs(args.inputs), options=options)


def _tuple(text: str | None) -> tuple[str, ...] | None:
    found = names_in(text)
    if found is not None and not found:
        raise InputError(f"{text!r} names nothing; names with commas between them were expected.")
    return None if found is None else tuple(found)


def _teller() -> Callable[[SensitivityProgress], None]:
    # One line that is written over and over, a few times a second.
    last = [0.0]

    def tell(progress: SensitivityProgress) -> None:
        now = time.monotonic()
        if progress.step is not None and now - last[0] < _EVERY_S:
            return
        last[0] = now
        end = "\n" if progress.step is None else ""
        sys.stdout.write(f"\r{progress_text(progress)[:100]:<100}{end}")
        sys.stdout.flush()

    return tell


SENSING: Final = (
    Word("sensitivity", "Measure how much the outputs suffer from each setting at each place.", _sensitivity)
    .takes_call()
    .takes_calibration()
    .takes("--family", metavar="A,B", help="kinds of techniques, such as prune,factorize; left out: all")
    .takes("--technique", metavar="A,B", help="names of techniques, such as low_rank,int8; left out: those advised")
    .takes_layers()
    .takes("--levels", type=int, default=4, help="settings at each place")
    .takes("--samples", type=int, help="calibration samples used at most; a quarter is held out")
    .takes("--evaluate", metavar="F", help="a function that scores a model, called for each setting too")
    .takes("--better", default="higher", help="higher or lower: where its score improves")
    .takes("--path", metavar="FILE", help="keep each point here, and go on from there"),
)
"""In the order of the manual."""
