"""Two profiles side by side, and one model at several sizes of its inputs."""

from effwidgets.whatif.comparison import compare
from effwidgets.whatif.sweep import sweep

__all__ = ["compare", "sweep"]
