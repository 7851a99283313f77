"""Who holds a claim: a process, told apart from a later one of the same number, and whether it still lives."""

from __future__ import annotations

import os
import platform
import subprocess
import uuid
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Owner", "is_dead"]


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Owner:
    """An opened store in a process.

    Attributes:
        host: name of the machine, with what changes when it starts anew and which processes it can see.
        pid: number of the process there.
        started: when the process began, in whatever unit the system tells; "" where it tells none.
        token: of the opened store; one process may open several.
    """

    host: str
    pid: int
    started: str
    token: str

    @classmethod
    def new(cls) -> Owner:
        """Return one for this process."""
        owner = cls(host=_host(), pid=os.getpid(), started=_started(os.getpid()), token=uuid.uuid4().hex[:12])
        _OURS.add(owner)
        return owner

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """Read what ``str`` wrote; None for something else."""
        parts = text.split("|")
        if len(parts) != 4 or not parts[1].isdigit():
            return None
        return cls(host=parts[0], pid=int(parts[1]), started=parts[2], token=parts[3])

    def __str__(self) -> str:
        return f"{self.host}|{self.pid}|{self.started}|{self.token}"

    def gone(self) -> None:
        """Say that the store was closed: what it still claims is free."""
        _OURS.discard(self)


_WINDOWS = os.name == "nt"

_OURS: weakref.WeakSet[Owner] = weakref.WeakSet()


def is_dead(owner: Owner) -> bool | None:
    """Say whether the process of ``owner`` has ended; None where that cannot be seen from this machine.

    A process number is used again, so the moment when the process began must be the same too.
    """
    if owner.host != _host() or _WINDOWS:  # there a signal 0 would be a Ctrl-C
        return None
    if owner.pid == os.getpid() and owner.started == _started(owner.pid):
        return owner not in _OURS
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's process: it lives
        pass
    started = _started(owner.pid)
    return bool(started != owner.started and owner.started) or _is_zombie(owner.pid)


@cache
def _host() -> str:
    # Two containers may bear one name and see other processes; after a start the numbers begin anew.
    boot = _text("/proc/sys/kernel/random/boot_id").strip()[:8]
    try:
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        space = ""
    return "/".join(filter(None, (platform.node().replace("|", "-"), boot, space)))


def _started(pid: int) -> str:
    fields = _stat(pid)
    if fields:
        return fields[19]  # field 22 of proc(5), in clock ticks since the machine started
    if _WINDOWS or Path("/proc/self").exists():
        return ""
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=5).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""


def _is_zombie(pid: int) -> bool:
    # Killed, and its parent has not asked for its end: it does nothing any more.
    return _stat(pid)[:1] in (["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    # What comes after the name, which may hold spaces and brackets.
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
