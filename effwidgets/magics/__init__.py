"""``%effdl`` and ``%%effdl``: the verbs as one line."""

from effwidgets.magics.magic import effdl, register, unregister
from effwidgets.magics.vocabulary import WORDS, manual

__all__ = ["WORDS", "effdl", "manual", "register", "unregister"]
