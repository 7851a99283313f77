"""The header of a kept search: written, read, and compared with that of the search that wants to go on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from effwidgets.errors import InputError, StoreError
from effwidgets.search.store.base import SCHEMA, Header

__all__ = ["check_same", "completed", "read_header", "write_header"]


def completed(header: Header) -> Header:
    """Return the header with the moment and the version where they are missing."""
    return dataclasses.replace(
        header,
        created=header.created or datetime.now(tz=UTC).isoformat(timespec="seconds"),
        made_with=header.made_with or version("effwidgets"),
    )


def write_header(header: Header) -> str:
    """Return a header as text."""
    return json.dumps(header.to_dict(), indent=1) + "\n"


def read_header(text: str, where: str) -> Header:
    """Read what `write_header` wrote.

    Args:
        text: of the file or the attribute.
        where: how to call the place.

    Raises:
        StoreError: a newer schema, or no header.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{where} is damaged: {error}. Nothing was changed.") from error
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if not isinstance(schema, int):
        raise StoreError(f"{where} is no search of effwidgets: it names no schema. Name another place.")
    if schema > SCHEMA:
        made = data.get("made_with") or "a newer version"
        raise StoreError(
            f"{where} was written by effwidgets {made} (schema {schema}); this is {version('effwidgets')}, which reads "
            f"up to schema {SCHEMA}. Nothing was changed. Install a newer effwidgets, or begin in another place."
        )
    try:
        return Header.from_dict(data)
    except InputError as error:
        raise StoreError(f"{where} is damaged: {error} Nothing was changed.") from error


def check_same(kept: Header, came: Header, where: str) -> None:
    """Refuse a search that is another one than what is kept.

    Raises:
        StoreError: it is; the message says in what.
    """
    wrong = _difference(kept, came)
    if wrong:
        raise StoreError(
            f"{where} keeps another search: {wrong}. Nothing was changed. Name another place for this one."
        )


def _difference(kept: Header, came: Header) -> str:  # noqa: PLR0911  one return for each kind of difference
    # In words; "" where there is none.
    if (kept.model.name, kept.model.structure) != (came.model.name, came.model.structure):
        of_same = " with other layers or shapes" if kept.model.name == came.model.name else ""
        return f"it is of a {kept.model.name}, and a {came.model.name}{of_same} came"
    if kept.model.values != came.model.values:
        return f"the {came.model.name} that came has other weights than its {kept.model.name}, trained on since perhaps"
    if kept.call != came.call:
        return "the model is called with other shapes or dtypes here"
    if kept.metric and came.metric and kept.metric != came.metric:
        return f"its main score is {kept.metric!r}, and {came.metric!r} came"
    if kept.better != came.better:
        return f"there {kept.better} scores are better, here {came.better} ones"
    if kept.objectives != came.objectives:
        return f"its objectives are {_listed(kept.objectives)}, and {_listed(came.objectives)} came"
    return ""


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(names) or "none beside the score"
