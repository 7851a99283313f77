"""Techniques that make a model smaller, and the machine that applies, verifies, repairs and saves them."""

from effwidgets.transforms.apply import Applied, apply, hypothetical
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.calibration import Calibration, calibration_of
from effwidgets.transforms.diff import diff
from effwidgets.transforms.exports.export import Written, export
from effwidgets.transforms.recipes.recipe import load, save
from effwidgets.transforms.recipes.replay import replay
from effwidgets.transforms.undo import undo

__all__ = [
    "TRANSFORMS",
    "Applied",
    "Calibration",
    "Transform",
    "Written",
    "apply",
    "calibration_of",
    "diff",
    "export",
    "hypothetical",
    "load",
    "replay",
    "save",
    "undo",
]
