"""What the models of a notebook were called with last, or might be called with."""

from effwidgets.seen.guess import Guess, call_from, guess_for
from effwidgets.seen.watch import Watch, shapes_text

__all__ = ["Guess", "Watch", "call_from", "guess_for", "shapes_text"]
