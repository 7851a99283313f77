"""Text to and from files, with messages that say what to do."""

from __future__ import annotations

from pathlib import Path

from effwidgets.errors import InputError

__all__ = ["read_file", "write_file"]


def write_file(path: str | Path, text: str, *, encoding: str = "utf-8") -> None:
    """Write ``text`` as it is, line ends too.

    Raises:
        InputError: no name of a file, or it cannot be written.
    """
    target = _path_of(path)
    try:
        with target.open("w", encoding=encoding, newline="") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{target} could not be written: {error}. Name a file in a folder that there is.") from error


def read_file(path: str | Path) -> str:
    """Return the text of a file.

    Raises:
        InputError: no name of a file, it cannot be read, or it is no text.
    """
    target = _path_of(path)
    try:
        return target.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{target} could not be read: {error}. Name a file that there is.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{target} is no text in UTF-8: {error}.") from error


def _path_of(path: object) -> Path:
    if not isinstance(path, str | Path) or not str(path):
        raise InputError(f"The path is {path!r}; the name of a file was expected.")
    return Path(path)
