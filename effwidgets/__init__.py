"""effwidgets: see where a PyTorch model spends parameters, FLOPs and memory; compress it with evidence."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from effwidgets.errors import (
    Cancelled,
    EffError,
    InputError,
    ModelError,
    RecipeError,
    SearchError,
    StoreError,
    TransformError,
    UnknownNameError,
    VerifyError,
)
from effwidgets.profiling import Call, ProfileOptions, on_meta
from effwidgets.reconcile import ReconcileOptions
from effwidgets.records import (
    VIEWS,
    Account,
    Budget,
    Candidate,
    Chosen,
    Comparison,
    Cost,
    Difference,
    DiskBytes,
    Edit,
    Group,
    Health,
    Knob,
    Latency,
    LayerProfile,
    Memory,
    Option,
    Plan,
    Profile,
    Ranks,
    Reconciliation,
    Repaired,
    Rounded,
    Score,
    Sensitivity,
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
from effwidgets.session import (
    Session,
    apply,
    choose,
    compare,
    diff,
    disk,
    download_bytes,
    estimate_plan,
    explore,
    export,
    health,
    preview,
    profile,
    rank_plan,
    reconcile,
    replay,
    report,
    rounded,
    sensitivity,
    session_of,
    sessions,
    sites,
    sparsity_plan,
    suggest,
    sweep,
    undo,
)
from effwidgets.transforms import TRANSFORMS, Applied, Calibration, Written, calibration_of, load, save
from effwidgets.transforms.prune.width_options import WidthOptions

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from effwidgets.search import Distill, DistillOptions, SearchOptions, SensitivityOptions, Study, distill

__all__ = [
    "TRANSFORMS",
    "VIEWS",
    "Account",
    "Applied",
    "Budget",
    "Calibration",
    "Call",
    "Cancelled",
    "Candidate",
    "Chosen",
    "Comparison",
    "Cost",
    "Difference",
    "DiskBytes",
    "Distill",
    "DistillOptions",
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
    "Option",
    "Plan",
    "Profile",
    "ProfileOptions",
    "Ranks",
    "RecipeError",
    "ReconcileOptions",
    "Reconciliation",
    "Repaired",
    "Rounded",
    "Score",
    "SearchError",
    "SearchOptions",
    "Sensitivity",
    "SensitivityOptions",
    "Session",
    "Site",
    "Sites",
    "Skip",
    "Step",
    "StoreError",
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
    "WidthOptions",
    "Written",
    "__version__",
    "apply",
    "calibration_of",
    "choose",
    "compare",
    "diff",
    "disk",
    "distill",
    "download_bytes",
    "estimate_plan",
    "explore",
    "export",
    "health",
    "load",
    "load_ipython_extension",
    "on_meta",
    "preview",
    "profile",
    "rank_plan",
    "reconcile",
    "replay",
    "report",
    "rounded",
    "save",
    "sensitivity",
    "session_of",
    "sessions",
    "settings",
    "sites",
    "sparsity_plan",
    "suggest",
    "sweep",
    "undo",
    "unload_ipython_extension",
]

__version__ = _version("effwidgets")

# A fifth of the import is that of searches, which many notebooks never begin.
_OF_SEARCH = frozenset({"Distill", "DistillOptions", "SearchOptions", "SensitivityOptions", "Study", "distill"})


def __getattr__(name: str) -> object:
    if name == "search":
        return _import_module("effwidgets.search")
    if name not in _OF_SEARCH:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value = getattr(_import_module("effwidgets.search"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
