"""The values that travel between all parts: frozen, equal by value, JSON and back."""

from effwidgets.records.base import Json, Plain, Record, Settings, settings
from effwidgets.records.candidates import Candidate, State
from effwidgets.records.doors import COMMANDS, VIEWS, Command, Handler, Medium, Shown, View, show, views_of
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
)
from effwidgets.records.states import Desk, Front, Outcome, Progress, StudyState

__all__ = [
    "COMMANDS",
    "VIEWS",
    "Candidate",
    "Command",
    "Cost",
    "Desk",
    "Edit",
    "Environment",
    "Front",
    "Group",
    "Handler",
    "Json",
    "Kept",
    "Knob",
    "Latency",
    "LayerProfile",
    "Medium",
    "Member",
    "Memory",
    "Outcome",
    "Piece",
    "Plain",
    "Plan",
    "Profile",
    "Progress",
    "Record",
    "Score",
    "Settings",
    "Shape",
    "Shown",
    "Site",
    "Skip",
    "State",
    "Step",
    "StudyState",
    "Suggestion",
    "Suggestions",
    "TensorInfo",
    "Uncounted",
    "View",
    "settings",
    "show",
    "views_of",
]
