"""Our counts beside those of other counters, with each difference explained."""

from effwidgets.reconcile.reconcile import PEERS, ReconcileOptions, reconcile

__all__ = ["PEERS", "ReconcileOptions", "reconcile"]
