"""The words that make a plan by a rule: where techniques apply, ranks, zeros, widths."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word, names_in
from effwidgets.session import rank_plan, rounded, sites, sparsity_plan
from effwidgets.transforms.prune.width_options import WidthOptions

__all__ = ["PLANNING"]


def _sites(args: Namespace, scope: Scope) -> Any:
    return sites(scope.model(args.model), scope.inputs(args.inputs), technique=names_in(args.technique))


def _ranks(args: Namespace, scope: Scope) -> Any:
    return rank_plan(
        scope.model(args.model),
        scope.inputs(args.inputs),
        transform=args.technique,
        rule=args.rule,
        value=args.value,
        layers=names_in(args.layers),
        calibration=scope.maybe(args.calibration),
    )


def _sparsity(args: Namespace, scope: Scope) -> Any:
    model, inputs, layers = scope.model(args.model), scope.inputs(args.inputs), names_in(args.layers)
    return sparsity_plan(model, inputs, args.share, allocation=args.allocation, criterion=args.criterion, layers=layers)


def _widths(args: Namespace, scope: Scope) -> Any:
    options = WidthOptions(within=args.within, seconds=args.seconds)
    return rounded(scope.model(args.model), scope.value(args.plan), scope.inputs(args.inputs), options=options)


PLANNING: Final = (
    Word("sites", "List where each technique can be applied, and why not elsewhere.", _sites)
    .takes_call()
    .takes("--technique", metavar="A,B", help="names of techniques, such as low_rank,int8; left out: all"),
    Word("ranks", "Choose the ranks of all layers by a rule.", _ranks)
    .takes_call()
    .takes("--technique", default="low_rank", metavar="A", help="low_rank, spatial_svd, tucker2 or bottleneck")
    .takes("--rule", default="energy", help="energy, error, budget, params or evbmf")
    .takes("--value", type=float, help="of the rule, from 0 to 1, such as 0.9 of the energy")
    .takes_layers()
    .takes_calibration(),
    Word("sparsity", "Spread zeros over the layers.", _sparsity)
    .takes_call()
    .takes("--share", type=float, default=0.5, help="zeros over all weights, from 0 to 1")
    .takes("--allocation", default="lamp", help="uniform, lamp or erk")
    .takes("--criterion", default="magnitude", help="magnitude or wanda")
    .takes_layers(),
    Word("widths", "Move the widths of a plan to neighbours that this machine runs better.", _widths)
    .takes_call()
    .takes("--plan", required=True, metavar="PLAN", help="a variable that holds a plan, a step or suggestions")
    .takes("--within", type=float, default=0.15, help="how far from the asked width, as a share of it")
    .takes("--seconds", type=float, default=1.0, help="about how long each step is measured"),
)
"""In the order of the manual."""
