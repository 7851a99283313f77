"""A lock that ends with its process."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from effwidgets.errors import StoreError
from effwidgets.search.store import lock as lock_module
from effwidgets.search.store.lock import FolderLock
from tests.search.store.work import SERVER


def count_up(path, times):
    lock = FolderLock(path / ".lock")
    for _ in range(times):
        with lock, lock:  # one thread may take it twice
            number = int((path / "count").read_text())
            (path / "count").write_text(str(number + 1))


def test_processes_and_threads_that_count_together_lose_no_count(tmp_path):
    (tmp_path / "count").write_text("0")
    workers = [SERVER.Process(target=count_up, args=(tmp_path, 100), daemon=True) for _ in range(2)]
    workers += [threading.Thread(target=count_up, args=(tmp_path, 100)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert (tmp_path / "count").read_text() == "400"


def take_and_die(path):
    FolderLock(path / ".lock").__enter__()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_while_it_holds_the_lock_leaves_it_free(tmp_path, monkeypatch):
    process = SERVER.Process(target=take_and_die, args=(tmp_path,), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    monkeypatch.setattr(lock_module, "_LONGEST_WAIT_S", 1.0)
    with FolderLock(tmp_path / ".lock"):
        pass


def test_a_lock_that_is_never_given_back_is_said_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "_LONGEST_WAIT_S", 0.05)
    with FolderLock(tmp_path / ".lock"), pytest.raises(StoreError, match="by another process"):
        FolderLock(tmp_path / ".lock").__enter__()
