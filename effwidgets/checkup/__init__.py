"""What is looked at with real numbers and on request: the health of a model in training, its size on disk."""

from effwidgets.checkup.disk import disk
from effwidgets.checkup.health import health

__all__ = ["disk", "health"]
