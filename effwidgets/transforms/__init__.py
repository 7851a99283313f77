"""Techniques that make a model smaller, and the machine that applies, verifies, repairs and saves them."""

from effwidgets.transforms.apply import Applied, apply, hypothetical
from effwidgets.transforms.base import TRANSFORMS, Transform
from effwidgets.transforms.calibration import Calibration, calibration_of
from effwidgets.transforms.recipe import load, save

__all__ = [
    "TRANSFORMS",
    "Applied",
    "Calibration",
    "Transform",
    "apply",
    "calibration_of",
    "hypothetical",
    "load",
    "save",
]
