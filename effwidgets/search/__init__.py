"""From "where does it hurt" to the front: advice, ladders of plans, and searches over them."""

from effwidgets.search.choose import plan_for
from effwidgets.search.compare import Comparison, Difference
from effwidgets.search.ladder import ladder
from effwidgets.search.options import Evaluate, Finetune, SearchOptions
from effwidgets.search.pareto import front, hypervolume, knee
from effwidgets.search.study import Study, explore
from effwidgets.search.suggest import suggest

__all__ = [
    "Comparison",
    "Difference",
    "Evaluate",
    "Finetune",
    "SearchOptions",
    "Study",
    "explore",
    "front",
    "hypervolume",
    "knee",
    "ladder",
    "plan_for",
    "suggest",
]
