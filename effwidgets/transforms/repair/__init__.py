"""Bring a model back after edits without labels and without training."""

from effwidgets.records import Refit, Repaired
from effwidgets.transforms.repair.batch_norm import batch_norms, reestimate_batch_norm
from effwidgets.transforms.repair.outputs import output_error
from effwidgets.transforms.repair.stages import Stages
from effwidgets.transforms.repair.units import STEPS
from effwidgets.transforms.repair.whole import repair

__all__ = ["STEPS", "Refit", "Repaired", "Stages", "batch_norms", "output_error", "reestimate_batch_norm", "repair"]
