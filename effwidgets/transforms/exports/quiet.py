"""Keep other people's exporters from talking: what matters of it stands in `Written.notes` or in the error."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Final, TextIO

__all__ = ["quiet"]

_LOGGERS: Final = (
    "torch.onnx",
    "torch.export",
    "torch.export.pt2_archive._package",
    "torch.fx",
    "onnxscript",
    "onnx_ir",
)
_ASKS: Final = "torch.fx.experimental.symbolic_shapes"


class _Hush(io.TextIOBase):
    """Drops what this thread writes; what others write goes where it went, for the streams are those of the process."""

    def __init__(self, real: TextIO) -> None:
        super().__init__()
        self._real = real
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        """Write, or drop it."""
        return len(text) if threading.get_ident() == self._thread else self._real.write(text)

    def flush(self) -> None:
        """Write what waits."""
        if threading.get_ident() != self._thread:
            self._real.flush()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor prints nor log lines below an error, and none of a tracer that will raise anyway."""
    levels = {name: logging.getLogger(name).level for name in (*_LOGGERS, _ASKS)}
    out, error = _Hush(sys.stdout), _Hush(sys.stderr)
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL if name == _ASKS else logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
