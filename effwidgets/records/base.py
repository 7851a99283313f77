"""What every record is: a frozen value that goes to JSON and back, and knows how to show itself."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from effwidgets.errors import InputError
from effwidgets.records.files import read_file, write_file

__all__ = ["Json", "Plain", "Record", "Settings", "settings"]

Scalar: TypeAlias = str | int | float | bool | None

Plain: TypeAlias = Scalar | tuple[Scalar, ...] | tuple[tuple[Scalar, ...], ...]
"""A value that a setting or a layer's configuration may have."""

Settings: TypeAlias = tuple[tuple[str, Plain], ...]
"""Named plain values, sorted by name; hashable, where a dict is not. Written to JSON as an object."""

Json: TypeAlias = dict[str, Any]
"""A JSON object."""

_FORMAT = "effwidgets"
_VERSION = 1
_SPECIAL = frozenset({"NaN", "Infinity", "-Infinity"})  # JSON has no such numbers: they travel as text


def settings(values: Mapping[str, object] | None = None, /, **more: object) -> Settings:
    """Make `Settings` out of names and values; lists become tuples.

    >>> settings(rank=4, method="svd")
    (('method', 'svd'), ('rank', 4))
    """
    merged = {**(values or {}), **more}
    return tuple((name, _plain(merged[name], name)) for name in sorted(merged))


def _plain(value: object, name: str) -> Plain:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return cast("Plain", tuple(_plain(item, name) for item in value))
    message = (
        f"{name} is {type(value).__name__}; a setting is text, a number, a truth value, nothing, or a tuple of these."
    )
    raise InputError(message)


class Record:
    """Base of all records. Subclasses are frozen, slotted, keyword-only dataclasses."""

    __slots__ = ()

    def to_dict(self) -> Json:
        """Return the record as JSON-ready plain values; `from_dict` reads it back, equal."""
        hints = _hints(cast("Any", type(self)))
        return {
            field.name: _encode(hints[field.name], getattr(self, field.name))
            for field in dataclasses.fields(cast("Any", self))
            if field.metadata.get("saved", True)
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InputError: a field is missing or unknown, or has a value of another type.
        """
        if not isinstance(data, Mapping):
            message = f"{cls.__name__} is read from a JSON object, not from {type(data).__name__}."
            raise InputError(message)
        hints = _hints(cast("Any", cls))
        unknown = sorted(set(data) - set(hints))
        if unknown:
            message = f"{cls.__name__} has no field {', '.join(unknown)}; its fields are {', '.join(hints)}."
            raise InputError(message)
        values = {name: _decode(hints[name], value, f"{cls.__name__}.{name}") for name, value in data.items()}
        try:
            return cls(**values)
        except TypeError as error:
            message = f"{cls.__name__} cannot be read: {error}"
            raise InputError(message) from error

    def to_json(self, path: str | Path | None = None, *, indent: int | None = None) -> str | None:
        """Return the record as JSON with the version of its format, or write it to ``path``; `from_json` reads both.

        Raises:
            InputError: the file cannot be written.
        """
        whole = {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": type(self).__name__,
            "record": _spelled(self.to_dict()),
        }
        text = json.dumps(whole, indent=indent, ensure_ascii=False, allow_nan=False)
        if path is None:
            return text
        write_file(path, text + "\n")
        return None

    @classmethod
    def from_json(cls, source: str | Path) -> Self:
        """Read what `to_json` wrote: a file, or the text itself (which begins with a brace).

        Raises:
            InputError: no such file, no JSON, not written by `to_json`, another record, or a later version.
        """
        inline = isinstance(source, str) and source.lstrip("\ufeff \t\r\n").startswith("{")
        text, where = (str(source).lstrip("\ufeff"), "The text") if inline else (read_file(source), f"{source}")
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where} is no JSON: {error}.") from error
        return cls.from_dict(_opened(whole, cls.__name__, where))


def _opened(whole: object, kind: str, where: str) -> object:
    """Return what `to_json` put into its envelope."""
    if not isinstance(whole, Mapping) or whole.get("format") != _FORMAT:
        raise InputError(
            f"{where} was not written by to_json of effwidgets: it does not say so in its field 'format'. "
            f"What to_dict made is read by {kind}.from_dict."
        )
    version = whole.get("version")
    if version != _VERSION:
        raise InputError(
            f"{where} has the format version {version!r}; this effwidgets reads version {_VERSION}. "
            "Read it with the effwidgets that wrote it, or write it anew."
        )
    if whole.get("kind") != kind:
        raise InputError(
            f"{where} holds a {whole.get('kind')}, not a {kind}: read it with {whole.get('kind')}.from_json."
        )
    return whole.get("record")


def _spelled(value: Any) -> Any:
    # What is no finite number becomes the text that `_decode_scalar` reads as one.
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    if isinstance(value, dict):
        return {name: _spelled(item) for name, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(cls).items() if get_origin(hint) is not typing.ClassVar}


def _encode(hint: Any, value: Any) -> Any:
    if hint == Settings:
        return {name: _encode(None, item) for name, item in value}
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_encode(_item_hint(hint, index), item) for index, item in enumerate(value)]
    return value


def _item_hint(hint: Any, index: int) -> Any:
    args = get_args(hint) if get_origin(hint) is tuple else ()
    if not args:
        return None
    return args[0] if len(args) == 2 and args[1] is Ellipsis else args[min(index, len(args) - 1)]


def _decode(hint: Any, value: Any, where: str) -> Any:  # noqa: PLR0911  one return for each kind of hint
    if hint == Settings:
        if not isinstance(value, Mapping):
            raise _mismatch("an object", value, where)
        return settings(value)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        options = [option for option in get_args(hint) if option is not types.NoneType]
        return _decode(options[0], value, where) if len(options) == 1 else _plain(value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mismatch("a list", value, where)
        return tuple(_decode(_item_hint(hint, index), item, where) for index, item in enumerate(value))
    if origin is Literal:
        if value not in get_args(hint):
            raise _mismatch(" or ".join(map(repr, get_args(hint))), value, where)
        return value
    if isinstance(hint, type):
        return _decode_scalar(hint, value, where)
    return _plain(value, where)


def _decode_scalar(hint: type, value: Any, where: str) -> Any:
    if issubclass(hint, Record):
        return hint.from_dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and value in _SPECIAL:
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _mismatch(hint.__name__, value, where)
    return value


def _mismatch(wanted: str, value: object, where: str) -> InputError:
    return InputError(f"{where} is {value!r}; {wanted} was expected.")
