"""The only object with state: a session for each model, and the verbs that reach it."""

from effwidgets.session.changes import sites
from effwidgets.session.checkups import disk, health
from effwidgets.session.publisher import PUBLISHER
from effwidgets.session.session import Session, session_of, sessions
from effwidgets.session.verbs import apply, explore, preview, profile, reconcile, report, suggest
from effwidgets.session.whatif import compare, sweep

__all__ = [
    "PUBLISHER",
    "Session",
    "apply",
    "compare",
    "disk",
    "explore",
    "health",
    "preview",
    "profile",
    "reconcile",
    "report",
    "session_of",
    "sessions",
    "sites",
    "suggest",
    "sweep",
]
