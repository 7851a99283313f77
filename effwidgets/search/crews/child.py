"""A worker process as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Final

from effwidgets.search.crews.serve import PROGRAM
from effwidgets.search.crews.wire import Reply, Request, Wire

__all__ = ["Child"]

_TAIL: Final = 2000  # bytes of what it wrote last that are looked at
_WORDS: Final = 300  # characters of that which stand in a message
_LAST_WAIT_S: Final = 2.0
_POOLS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Child:
    """A process that serves orders (`serve`). It ends with its parent, however that ends.

    What its code prints goes to a file that nobody sees, of which `last_words` reads the end.

    Args:
        threads: how many torch computes with.

    Attributes:
        replies: what it says; None when it is gone.
        ready: whether it has its kit.
        begun: whether it is at the order that it was sent last.
    """

    def __init__(self, threads: int) -> None:
        self.replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self.ready = self.begun = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-c", PROGRAM, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **dict.fromkeys(_POOLS, str(threads))},
            start_new_session=True,  # Ctrl-C is for the parent, which stops it; and what it starts can be ended with it
        )
        assert self._process.stdin is not None  # noqa: S101  for the type checker
        assert self._process.stdout is not None  # noqa: S101
        self._requests = Wire(self._process.stdin)
        self._end = weakref.finalize(self, _end, self._process, self._log)
        threading.Thread(target=_listen, args=(self._process.stdout, self.replies), daemon=True).start()
        with contextlib.suppress(OSError):  # gone already, which its replies say
            self._process.stdin.write(json.dumps([path or str(Path.cwd()) for path in sys.path]).encode() + b"\n")
            self._process.stdin.flush()  # now: it imports what it needs while others are sent their kit

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def send(self, request: Request) -> None:
        """Tell it something; one that is gone does not hear it, and says so by None among its replies."""
        with contextlib.suppress(OSError):
            self._requests.send(request)

    def kill(self) -> None:
        """End it, and what it started. May be called twice."""
        self._end()

    def last_words(self) -> str:
        """Say how it ended, with the last line that it wrote."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WAIT_S)
        _kill(self._process)  # one that closed its output and goes on is of no use
        code = self._process.returncode
        how = f"with code {code}"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            how = f"by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _TAIL))
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"Its process ended {how}." + (f" It said: {lines[-1][:_WORDS]}" if lines else "")


def _listen(stream: IO[bytes], replies: queue.SimpleQueue[Reply | None]) -> None:
    wire = Wire(stream)
    try:
        while (reply := wire.receive()) is not None:
            replies.put(reply)  # type: ignore[arg-type]
    finally:  # also of what cannot be read: whoever waits must hear of the end
        replies.put(None)
        stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        except ProcessLookupError:
            process.kill()
    process.wait()


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    _kill(process)
    log.close()
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # what was still to be sent
            process.stdin.close()
