"""The values that travel between all parts: frozen, equal by value, JSON and back."""

from effwidgets.records.base import Json, Plain, Record, Settings, settings
from effwidgets.records.candidates import Candidate, State
from effwidgets.records.comparison import Comparison, Fact, LayerChange, MemoryChange
from effwidgets.records.disk import DiskBytes, LayerBytes
from effwidgets.records.doors import COMMANDS, VIEWS, Command, Handler, Medium, Shown, View, show, views_of
from effwidgets.records.exports import Exported, Text
from effwidgets.records.growth import Growth
from effwidgets.records.health import Activity, Finding, Gradient, Health, LayerHealth
from effwidgets.records.measures import Cost, Latency, Memory, Score
from effwidgets.records.plans import Edit, Kept, Knob, Piece, Plan, Site, Skip, Step, Suggestion, Suggestions
from effwidgets.records.profiles import (
    Environment,
    Group,
    LayerProfile,
    Member,
    Profile,
    Shape,
    TensorInfo,
    Uncounted,
    Zeros,
    ZerosSource,
)
from effwidgets.records.reconciliation import UNEXPLAINED, Explained, PeerCount, PeerLayer, Reconciliation
from effwidgets.records.sites import Sites, Technique
from effwidgets.records.states import Desk, Front, Outcome, Progress, StudyState
from effwidgets.records.sweeps import Limit, Sweep, SweepPoint

__all__ = [
    "COMMANDS",
    "UNEXPLAINED",
    "VIEWS",
    "Activity",
    "Candidate",
    "Command",
    "Comparison",
    "Cost",
    "Desk",
    "DiskBytes",
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
    "Handler",
    "Health",
    "Json",
    "Kept",
    "Knob",
    "Latency",
    "LayerBytes",
    "LayerChange",
    "LayerHealth",
    "LayerProfile",
    "Limit",
    "Medium",
    "Member",
    "Memory",
    "MemoryChange",
    "Outcome",
    "PeerCount",
    "PeerLayer",
    "Piece",
    "Plain",
    "Plan",
    "Profile",
    "Progress",
    "Reconciliation",
    "Record",
    "Score",
    "Settings",
    "Shape",
    "Shown",
    "Site",
    "Sites",
    "Skip",
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
    "Zeros",
    "ZerosSource",
    "settings",
    "show",
    "views_of",
]
