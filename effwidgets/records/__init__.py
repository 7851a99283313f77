"""The values that travel between all parts: frozen, equal by value, JSON and back."""

from effwidgets.records.account import Account
from effwidgets.records.base import Json, Plain, Record, Settings, settings
from effwidgets.records.candidates import RUNGS, Candidate, Climb, Rung, State
from effwidgets.records.chosen import Chosen, Reached
from effwidgets.records.comparison import Comparison, Fact, LayerChange, MemoryChange
from effwidgets.records.difference import Difference, DiffLine
from effwidgets.records.disk import DiskBytes, LayerBytes
from effwidgets.records.doors import COMMANDS, VIEWS, Command, Handler, Medium, Shown, View, show, views_of
from effwidgets.records.exports import Exported, Text
from effwidgets.records.growth import Growth
from effwidgets.records.health import Activity, Finding, Gradient, Health, LayerHealth
from effwidgets.records.latencies import LatencyChange
from effwidgets.records.measures import Cost, Latency, Memory, Score
from effwidgets.records.options import Option
from effwidgets.records.pages import write_page
from effwidgets.records.plans import Edit, Kept, Knob, Piece, Plan, Site, Skip, Step, Suggestion, Suggestions
from effwidgets.records.profiles import (
    Environment,
    Group,
    LayerProfile,
    Member,
    Profile,
    Seam,
    Shape,
    TensorInfo,
    Uncounted,
    Zeros,
    ZerosSource,
)
from effwidgets.records.ranks import RankRow, Ranks
from effwidgets.records.reconciliation import UNEXPLAINED, Explained, PeerCount, PeerLayer, Reconciliation
from effwidgets.records.repairs import Refit, Repaired
from effwidgets.records.reports import Detail, Doubt, SearchReport, Volumes
from effwidgets.records.sensitivity import (
    DIVERGENCES,
    Sensitivity,
    SensitivityPoint,
    SensitivityProgress,
    SensitivityRow,
)
from effwidgets.records.sites import Sites, Technique
from effwidgets.records.spans import Handed, Span
from effwidgets.records.states import Budget, Desk, Front, Outcome, Progress, StudyState
from effwidgets.records.sweeps import Limit, Sweep, SweepPoint
from effwidgets.records.widths import Rounded, WidthChoice, WidthTime

__all__ = [
    "COMMANDS",
    "DIVERGENCES",
    "RUNGS",
    "UNEXPLAINED",
    "VIEWS",
    "Account",
    "Activity",
    "Budget",
    "Candidate",
    "Chosen",
    "Climb",
    "Command",
    "Comparison",
    "Cost",
    "Desk",
    "Detail",
    "DiffLine",
    "Difference",
    "DiskBytes",
    "Doubt",
    "Edit",
    "Environment",
    "Explained",
    "Exported",
    "Fact",
    "Finding",
    "Front",
    "Gradient",
    "Group",
    "Growth",
    "Handed",
    "Handler",
    "Health",
    "Json",
    "Kept",
    "Knob",
    "Latency",
    "LatencyChange",
    "LayerBytes",
    "LayerChange",
    "LayerHealth",
    "LayerProfile",
    "Limit",
    "Medium",
    "Member",
    "Memory",
    "MemoryChange",
    "Option",
    "Outcome",
    "PeerCount",
    "PeerLayer",
    "Piece",
    "Plain",
    "Plan",
    "Profile",
    "Progress",
    "RankRow",
    "Ranks",
    "Reached",
    "Reconciliation",
    "Record",
    "Refit",
    "Repaired",
    "Rounded",
    "Rung",
    "Score",
    "Seam",
    "SearchReport",
    "Sensitivity",
    "SensitivityPoint",
    "SensitivityProgress",
    "SensitivityRow",
    "Settings",
    "Shape",
    "Shown",
    "Site",
    "Sites",
    "Skip",
    "Span",
    "State",
    "Step",
    "StudyState",
    "Suggestion",
    "Suggestions",
    "Sweep",
    "SweepPoint",
    "Technique",
    "TensorInfo",
    "Text",
    "Uncounted",
    "View",
    "Volumes",
    "WidthChoice",
    "WidthTime",
    "Zeros",
    "ZerosSource",
    "settings",
    "show",
    "views_of",
    "write_page",
]
