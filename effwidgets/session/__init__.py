"""The only object with state: a session for each model, and the verbs that reach it."""

from effwidgets.session.changes import diff, download_bytes, export, replay, sites, undo
from effwidgets.session.checkups import disk, health
from effwidgets.session.choosing import choose
from effwidgets.session.planning import estimate_plan, rank_plan, rounded, sparsity_plan
from effwidgets.session.publisher import PUBLISHER
from effwidgets.session.sensing import sensitivity
from effwidgets.session.session import Session, session_of, sessions
from effwidgets.session.verbs import apply, explore, preview, profile, reconcile, report, suggest
from effwidgets.session.whatif import compare, sweep

__all__ = [
    "PUBLISHER",
    "Session",
    "apply",
    "choose",
    "compare",
    "diff",
    "disk",
    "download_bytes",
    "estimate_plan",
    "explore",
    "export",
    "health",
    "preview",
    "profile",
    "rank_plan",
    "reconcile",
    "replay",
    "report",
    "rounded",
    "sensitivity",
    "session_of",
    "sessions",
    "sites",
    "sparsity_plan",
    "suggest",
    "sweep",
    "undo",
]
