"""The word that chooses under budgets."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word, names_in
from effwidgets.session import choose

__all__ = ["CHOOSING"]


def _choose(args: Namespace, scope: Scope) -> Any:
    return choose(
        scope.model(args.model),
        scope.inputs(args.inputs),
        _budgets(args.budget),
        evaluate=scope.maybe(args.evaluate),
        calibration=scope.maybe(args.calibration),
        options=scope.maybe(args.options),
    )


def _budgets(text: str | None) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for pair in names_in(text) or []:
        axis, sign, amount = pair.partition("=")
        if not sign or not axis.strip() or not amount.strip():
            raise InputError(f"--budget {text} was given; something like macs=50%,latency_s=60% was expected.")
        found[axis.strip()] = amount.strip()
    if not found:
        raise InputError("Say what may be spent: --budget macs=50%,latency_s=60%.")
    return found


CHOOSING: Final = (
    Word("choose", "Choose a plan that keeps several budgets, carry it out, and say what is true of it.", _choose)
    .takes_call()
    .takes("--budget", metavar="COST=LIMIT,...", help="shares or amounts, such as macs=50%%,bytes=1.2MB,latency_s=60%%")
    .takes("--evaluate", metavar="F", help="a function that scores a model")
    .takes_calibration()
    .takes("--options", metavar="S", help="a sensitivity that was measured already"),
)
"""In the order of the manual."""
