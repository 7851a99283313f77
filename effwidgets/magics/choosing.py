"""The word that chooses under budgets."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word, budgets_in
from effwidgets.session import choose

__all__ = ["CHOOSING"]


def _choose(args: Namespace, scope: Scope) -> Any:
    budgets = budgets_in(args.budget)
    if not budgets:
        raise InputError("Say what may be spent: --budget macs=50%,latency_s=60%.")
    return choose(
        scope.model(args.model),
        scope.inputs(args.inputs),
        budgets,
        evaluate=scope.maybe(args.evaluate),
        calibration=scope.maybe(args.calibration),
        options=scope.maybe(args.options),
    )


CHOOSING: Final = (
    Word("choose", "Choose a plan that keeps several budgets, carry it out, and say what is true of it.", _choose)
    .takes_call()
    .takes(
        "--budget",
        action="append",
        metavar="COST=LIMIT,...",
        help="shares or amounts, such as macs=50%%,bytes=1.2MB,latency_s=60%%",
    )
    .takes("--evaluate", metavar="F", help="a function that scores a model")
    .takes_calibration()
    .takes("--options", metavar="S", help="a sensitivity that was measured already"),
)
"""In the order of the manual."""
