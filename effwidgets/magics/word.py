"""One word of the magic: its parser, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope

__all__ = ["Asked", "Word", "budgets_in", "names_in"]


class Asked(Exception):  # noqa: N818  not an error: the text that -h asked for
    """Carries the help of a word out of its parser."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose faults are `InputError`, not an exit."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}. {' '.join(self.format_usage().split())}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        del status
        raise Asked(message or self.format_help())


def names_in(text: str | None) -> list[str] | None:
    """Return the names of a list with commas; None where there is none.

    >>> names_in("low_rank, int8"), names_in(None)
    (['low_rank', 'int8'], None)
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def budgets_in(texts: str | Iterable[str] | None) -> dict[str, str]:
    """Return the limits by cost: said once with commas between them, or several times.

    Raises:
        InputError: a cost without a limit, or a limit without a cost.

    >>> budgets_in("macs=50%, bytes=1.2MB") == budgets_in(["macs=50%", "bytes=1.2MB"])
    True
    """
    found: dict[str, str] = {}
    for pair in names_in(texts if isinstance(texts, str) else ",".join(texts or ())) or []:
        axis, _, amount = (part.strip() for part in pair.partition("="))
        if not axis or not amount:
            raise InputError(f"--budget {pair} was given; something like macs=50%,latency_s=60% was expected.")
        found[axis] = amount
    return found


class Word:
    """A word, what it takes, and what it does with that and the notebook's names."""

    def __init__(self, name: str, summary: str, does: Callable[[argparse.Namespace, Scope], Any]) -> None:
        self.name = name
        self.summary = summary
        self.does = does
        self.parser = _Parser(prog=f"%effdl {name}", description=summary, add_help=True)

    def takes(self, *names: str, **how: Any) -> Word:
        """Add an argument, as `argparse` describes it."""
        self.parser.add_argument(*names, **how)
        return self

    def takes_model(self) -> Word:
        """Add the model; it may be left out."""
        return self.takes("model", nargs="?", help="a variable or expression; left out: the only model profiled so far")

    def takes_call(self) -> Word:
        """Add the model and what it is called with; both may be left out."""
        inputs = "what the model is called with; left out: the call seen last"
        return self.takes_model().takes("inputs", nargs="*", help=inputs)

    def takes_calibration(self) -> Word:
        """Add real inputs to measure on."""
        return self.takes("--calibration", metavar="DATA", help="real inputs: a batch, a list of batches, a DataLoader")

    def takes_layers(self) -> Word:
        """Add names of layers to choose from."""
        return self.takes("--layers", metavar="A,B", help="look at these layers only, such as conv1,block.fc")

    def takes_choice(self) -> Word:
        """Add the two ways to say which suggestions are meant."""
        self.takes("--pick", metavar="0,2", help="numbers in the list of suggestions")
        return self.takes("--plan", metavar="PLAN", help="a plan, a step, suggestions, ranks or widths")
