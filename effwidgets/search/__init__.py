"""From "where does it hurt" to the front: advice, ladders of plans, and searches over them."""

from effwidgets.search.advice.suggest import suggest
from effwidgets.search.engine.compare import Comparison, Difference
from effwidgets.search.engine.explore import explore
from effwidgets.search.engine.options import Evaluate, Finetune, SearchOptions
from effwidgets.search.engine.study import Study
from effwidgets.search.fronts.pareto import front, hypervolume, knee
from effwidgets.search.selection.choose import plan_for
from effwidgets.search.selection.ladder import ladder
from effwidgets.search.sensitivity.measure import sensitivity
from effwidgets.search.sensitivity.options import SensitivityOptions
from effwidgets.search.tuning.distill import Distill, distill
from effwidgets.search.tuning.options import DistillOptions

__all__ = [
    "Comparison",
    "Difference",
    "Distill",
    "DistillOptions",
    "Evaluate",
    "Finetune",
    "SearchOptions",
    "SensitivityOptions",
    "Study",
    "distill",
    "explore",
    "front",
    "hypervolume",
    "knee",
    "ladder",
    "plan_for",
    "sensitivity",
    "suggest",
]
