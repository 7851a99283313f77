"""Keep other people's exporters from talking: what matters of it stands in `Written.notes` or in the error."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Final

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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor prints nor log lines below an error, and none of a tracer that will raise anyway."""
    levels = {name: logging.getLogger(name).level for name in (*_LOGGERS, _ASKS)}
    talk = io.StringIO()
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL if name == _ASKS else logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
