"""Processes that are really killed, at random moments and in the middle of a write, alone and side by side."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from effwidgets.search.store.open import store_of
from tests.search.store.work import (
    HEADER,
    SERVER,
    diary_of,
    place_of,
    score_of,
    try_all,
    try_all_writing_halves,
)

pytestmark = pytest.mark.slow


def start(work, where, diary, count, seed):
    process = SERVER.Process(target=work, args=(str(where), diary, count, seed), daemon=True)
    process.start()
    return process


def check_nothing_lost(where, diary, count, kills):
    said = diary_of(diary)
    store = store_of(str(where))
    kept = store.open(HEADER)
    store.close()
    assert [candidate.number for candidate in kept] == list(range(count))
    assert {place_of(candidate) for candidate in kept} == set(range(count))  # each plan has one number
    assert all(candidate.state == "done" and candidate.score() == score_of(place_of(candidate)) for candidate in kept)
    numbers = {place_of(candidate): candidate.number for candidate in kept}
    assert all(numbers[place] == number for _, place, number in said)  # also when it was begun again
    puts = [place for what, place, _ in said if what == "put"]
    begins = [place for what, place, _ in said if what == "begin"]
    assert len(puts) == len(set(puts))  # nothing that was finished was finished again
    # Only what a killed process had begun and not finished was begun again, and it had one plan at a time.
    assert len(begins) <= count + kills
    for place in range(count):
        ended = next((at for at, (what, of, _) in enumerate(said) if (what, of) == ("put", place)), len(said))
        assert all((what, of) != ("begin", place) for what, of, _ in said[ended:])


@pytest.mark.parametrize("seed", range(3))
def test_a_search_that_is_killed_again_and_again_loses_only_what_ran_and_tries_nothing_twice(tmp_path, seed):
    where, diary, count, kills = tmp_path / "search", tmp_path / "diary", 40, 0
    moments = random.Random(seed)  # noqa: S311  moments, not secrets
    while True:
        process = start(try_all, where, diary, count, moments.random())
        process.join(0.02 + moments.random() * 0.15 * (1 + kills / 10))
        if process.exitcode == 0:
            break
        assert process.exitcode is None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    assert kills >= 2  # else nothing was shown
    check_nothing_lost(where, diary, count, kills)


def test_a_process_killed_in_the_middle_of_a_write_costs_its_line_and_the_end_is_kept_beside(tmp_path, caplog):
    where, diary, count = tmp_path / "search", tmp_path / "diary", 20
    for seed in range(4):
        process = start(try_all_writing_halves, where, diary, count, seed)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    process = start(try_all, where, diary, count, 9)
    process.join(60)
    assert process.exitcode == 0
    check_nothing_lost(where, diary, count, 4)
    # A write may end by chance where a line does: then there is nothing to cut off.
    assert list(where.glob("study.log.torn-*"))


def test_two_processes_on_one_folder_lose_nothing_while_a_third_is_killed(tmp_path):
    where, diary, count, kills = tmp_path / "search", tmp_path / "diary", 120, 0
    moments = random.Random(5)  # noqa: S311  moments, not secrets
    first, second = (start(try_all, where, diary, count, seed) for seed in (1, 2))
    while first.exitcode is None or second.exitcode is None:
        third = start(try_all_writing_halves if kills % 2 else try_all, where, diary, count, kills)
        third.join(0.05 + 0.1 * moments.random())
        if third.exitcode is None:
            os.kill(third.pid, signal.SIGKILL)
            third.join()
        kills += third.exitcode != 0
        first.join(0.01)
        second.join(0.01)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert kills >= 1
    check_nothing_lost(where, diary, count, kills)


def test_two_processes_that_begin_a_search_at_the_same_moment_have_one(tmp_path):
    for attempt in range(5):
        where, diary = tmp_path / str(attempt), tmp_path / f"diary{attempt}"
        both = [start(try_all, where, diary, 6, seed) for seed in (1, 2, 3)]
        for process in both:
            process.join(60)
        assert [process.exitcode for process in both] == [0, 0, 0]
        check_nothing_lost(where, diary, 6, 0)


def test_two_processes_on_one_database_lose_nothing(tmp_path):
    where, diary = f"sqlite:///{tmp_path / 'team.db'}", tmp_path / "diary"
    both = [start(try_all, where, diary, 12, seed) for seed in (1, 2)]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    check_nothing_lost(where, diary, 12, 0)


def test_a_search_in_a_database_goes_on_after_a_kill(tmp_path):
    where, diary, count, kills = f"sqlite:///{tmp_path / 'team.db'}", tmp_path / "diary", 10, 0
    while True:
        process = start(try_all, where, diary, count, kills)
        until = time.monotonic() + 60
        while len(diary_of(diary)) < 4 * (kills + 1) and process.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        if kills == 2:
            process.join(120)
            assert process.exitcode == 0
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    check_nothing_lost(where, diary, count, kills)
