"""All that a worker elsewhere needs, as bytes: it is sent once to each, and orders are small."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effwidgets.errors import InputError, SearchError

if TYPE_CHECKING:
    from effwidgets.search.crews.crew import Maker

__all__ = ["Kit", "digest_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kit:
    """What builds a workshop, and what it is built from.

    Attributes:
        build: called with ``parts`` by name in the worker; a class or a function that can be imported there.
        parts: model, inputs, ``evaluate`` and the rest, by name. What they share (a model and its teacher) is shared
            on arrival too.

    Example:
        >>> import torch
        >>> kit = Kit(build=dict, parts={"model": torch.nn.Linear(2, 2), "scale": lambda x: 2 * x})
        >>> Kit.unpack(kit.pack())["scale"](21)
        42
    """

    build: Callable[..., Maker]
    parts: Mapping[str, object]

    def pack(self) -> bytes:
        """Return it all as bytes.

        Raises:
            InputError: a part cannot be sent; the message names it.
        """
        from effwidgets.search.crews.pickles import to_bytes

        try:
            return to_bytes((self.build, dict(self.parts)))
        except Exception as error:  # whatever the reduction of somebody's object raises
            name, cause = self._culprit(error)
            raise InputError(
                f"{name} cannot be sent to another process: {type(cause).__name__}: {cause}. "
                "Make what it holds (an open file, a lock, a connection) inside the function, or search in threads: "
                "executor=None."
            ) from error

    def _culprit(self, error: Exception) -> tuple[str, Exception]:
        from effwidgets.search.crews.pickles import to_bytes

        for name, part in self.parts.items():
            try:
                to_bytes(part)
            except Exception as own:  # noqa: BLE001
                return name, own
        return "What the search is made of", error

    @staticmethod
    def unpack(packed: bytes) -> Maker:
        """Build the workshop from what `pack` returned.

        Raises:
            SearchError: something that it needs is not there; the message says what to do.
        """
        from effwidgets.search.crews.pickles import from_bytes

        try:
            build, parts = from_bytes(packed)
        except ImportError as error:
            raise SearchError(
                f"The worker cannot import what the search needs: {error}. Install it there, or send the module along: "
                f"import cloudpickle; cloudpickle.register_pickle_by_value({error.name or 'module'})."
            ) from error
        maker: Maker = build(**parts)
        return maker


def digest_of(packed: bytes) -> str:
    """Return a name for a packed kit, by which a worker knows that it has it."""
    return hashlib.sha256(packed).hexdigest()[:32]
