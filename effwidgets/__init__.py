"""effwidgets: see where a PyTorch model spends parameters, FLOPs and memory; compress it with evidence."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from effwidgets.errors import (
    Cancelled,
    EffError,
    InputError,
    ModelError,
    RecipeError,
    SearchError,
    TransformError,
    UnknownNameError,
    VerifyError,
)
from effwidgets.profiling import Call, ProfileOptions
from effwidgets.records import (
    VIEWS,
    Candidate,
    Cost,
    Edit,
    Group,
    Knob,
    Latency,
    LayerProfile,
    Memory,
    Plan,
    Profile,
    Score,
    Site,
    Skip,
    Step,
    StudyState,
    Suggestion,
    Suggestions,
    TensorInfo,
    View,
    settings,
)
from effwidgets.search import SearchOptions, Study
from effwidgets.session import Session, apply, explore, profile, report, session_of, sessions, suggest
from effwidgets.transforms import TRANSFORMS, Applied, load, save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "TRANSFORMS",
    "VIEWS",
    "Applied",
    "Call",
    "Cancelled",
    "Candidate",
    "Cost",
    "Edit",
    "EffError",
    "Group",
    "InputError",
    "Knob",
    "Latency",
    "LayerProfile",
    "Memory",
    "ModelError",
    "Plan",
    "Profile",
    "ProfileOptions",
    "RecipeError",
    "Score",
    "SearchError",
    "SearchOptions",
    "Session",
    "Site",
    "Skip",
    "Step",
    "Study",
    "StudyState",
    "Suggestion",
    "Suggestions",
    "TensorInfo",
    "TransformError",
    "UnknownNameError",
    "VerifyError",
    "View",
    "__version__",
    "apply",
    "explore",
    "load",
    "load_ipython_extension",
    "profile",
    "report",
    "save",
    "session_of",
    "sessions",
    "settings",
    "suggest",
    "unload_ipython_extension",
]

__version__ = _version("effwidgets")


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Register ``%effdl`` and ``%%effdl``; called by ``%load_ext effwidgets``."""
    from effwidgets.magics import register

    register(shell)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """Take ``%effdl`` away again; called by ``%unload_ext effwidgets``."""
    from effwidgets.magics import unregister

    unregister(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "effwidgets"}]
