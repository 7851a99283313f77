"""Who is dead, of processes that really live and really die."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys

from effwidgets.search.store import owners
from effwidgets.search.store.owners import Owner, is_dead


def test_an_owner_survives_being_written():
    owner = Owner.new()
    assert Owner.read(str(owner)) == owner
    assert Owner.read("something else") is None


def test_a_store_that_is_open_lives_and_one_that_was_closed_does_not():
    owner = Owner.new()
    again = Owner.read(str(owner))
    assert is_dead(again) is False
    owner.gone()
    assert is_dead(again) is True


def test_another_process_lives_until_it_is_killed_also_while_nobody_asked_for_its_end():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        owner = dataclasses.replace(Owner.new(), pid=process.pid, started=owners._started(process.pid), token="x")  # noqa: S106  no password
        assert is_dead(owner) is False
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is a zombie still
        assert is_dead(owner) is True
    finally:
        process.stdin.close()
        process.wait()
    assert is_dead(owner) is True


def test_a_process_of_the_same_number_that_began_at_another_time_is_another_one():
    owner = Owner.new()
    earlier = dataclasses.replace(owner, pid=os.getppid(), started="1", token="x")  # noqa: S106  no password
    assert is_dead(earlier) is True


def test_of_another_machine_nothing_can_be_seen():
    assert is_dead(dataclasses.replace(Owner.new(), host="elsewhere")) is None
