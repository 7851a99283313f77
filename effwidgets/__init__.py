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
from effwidgets.profiling import Call, ProfileOptions, on_meta
from effwidgets.reconcile import ReconcileOptions
from effwidgets.records import (
    VIEWS,
    Candidate,
    Comparison,
    Cost,
    DiskBytes,
    Edit,
    Group,
    Health,
    Knob,
    Latency,
    LayerProfile,
    Memory,
    Plan,
    Profile,
    Reconciliation,
    Score,
    Site,
    Sites,
    Skip,
    Step,
    StudyState,
    Suggestion,
    Suggestions,
    Sweep,
    TensorInfo,
    View,
    settings,
)
from effwidgets.search import SearchOptions, Study
from effwidgets.session import (
    Session,
    apply,
    compare,
    disk,
    explore,
    health,
    preview,
    profile,
    reconcile,
    report,
    session_of,
    sessions,
    sites,
    suggest,
    sweep,
)
from effwidgets.transforms import TRANSFORMS, Applied, Difference, Written, diff, export, load, replay, save, undo

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "TRANSFORMS",
    "VIEWS",
    "Applied",
    "Call",
    "Cancelled",
    "Candidate",
    "Comparison",
    "Cost",
    "Difference",
    "DiskBytes",
    "Edit",
    "EffError",
    "Group",
    "Health",
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
    "ReconcileOptions",
    "Reconciliation",
    "Score",
    "SearchError",
    "SearchOptions",
    "Session",
    "Site",
    "Sites",
    "Skip",
    "Step",
    "Study",
    "StudyState",
    "Suggestion",
    "Suggestions",
    "Sweep",
    "TensorInfo",
    "TransformError",
    "UnknownNameError",
    "VerifyError",
    "View",
    "Written",
    "__version__",
    "apply",
    "compare",
    "diff",
    "disk",
    "explore",
    "export",
    "health",
    "load",
    "load_ipython_extension",
    "on_meta",
    "preview",
    "profile",
    "reconcile",
    "replay",
    "report",
    "save",
    "session_of",
    "sessions",
    "settings",
    "sites",
    "suggest",
    "sweep",
    "undo",
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
