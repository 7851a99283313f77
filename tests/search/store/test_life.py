"""Signs of life."""

from __future__ import annotations

import threading

from effwidgets.search.store.life import Beat, FileLife
from effwidgets.search.store.owners import Owner


def test_a_beat_goes_on_through_errors_and_ends_when_it_is_told():
    count, third = [], threading.Event()

    def sign():
        count.append(None)
        if len(count) == 3:
            third.set()
        raise OSError("the disk is away")

    beat = Beat(sign, 0.001)
    beat.begin()
    assert third.wait(10)
    beat.end()
    before = len(count)
    assert not beat._thread.is_alive()
    assert len(count) == before


def test_a_sign_is_there_from_the_beginning_and_gone_at_the_end(tmp_path):
    owner = Owner.new()
    life = FileLife(tmp_path / ".alive", owner)
    life.begin()
    assert (tmp_path / ".alive" / owner.token).is_file()
    life.end()
    assert not (tmp_path / ".alive" / owner.token).exists()


def test_a_process_of_another_machine_that_closed_its_store_holds_nothing(tmp_path):
    mine = FileLife(tmp_path / ".alive", Owner.new())
    far = Owner(host="elsewhere", pid=1, started="1", token="far")  # noqa: S106  no password
    mine.begin()
    (tmp_path / ".alive" / "far").touch()
    assert mine.is_dead(far) is False
    (tmp_path / ".alive" / "far").unlink()
    assert mine.is_dead(far) is True
    mine.end()
