"""The search itself: what is tried next, how far it is taken, where it stands."""
