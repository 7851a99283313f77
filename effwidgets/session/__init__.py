"""The only object with state: a session for each model, and the verbs that reach it."""

from effwidgets.session.publisher import PUBLISHER
from effwidgets.session.session import Session, session_of, sessions
from effwidgets.session.verbs import apply, explore, profile, report, suggest

__all__ = [
    "PUBLISHER",
    "Session",
    "apply",
    "explore",
    "profile",
    "report",
    "session_of",
    "sessions",
    "suggest",
]
