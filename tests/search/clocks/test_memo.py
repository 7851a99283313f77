"""The cache of timings: kept, shared between processes, and never in the way."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from effwidgets.search.clocks.memo import Memo, Timed, cache_folder

ONE = Timed(before_s=0.25, after_s=0.125, error_s=0.0625, repeats=9)
FILE = "pieces-1.jsonl"


def test_what_was_kept_is_found_by_the_next_reader(tmp_path):
    Memo(tmp_path / "new").put("a", ONE)
    assert Memo(tmp_path / "new").get("a") == ONE
    assert Memo(tmp_path / "new").get("b") is None


def test_a_line_of_another_process_is_seen_without_a_new_start(tmp_path):
    memo = Memo(tmp_path)
    assert memo.get("a") is None
    Memo(tmp_path).put("a", ONE)
    assert memo.get("a") == ONE


@pytest.mark.parametrize(
    "damage", [b"\x00\xff\xfe\n", b'["a", 1.0', b"{}\n", b'["a", NaN, 1, 1, 3]\n', b'["a",-1,1,1,3]\n']
)
def test_damaged_lines_are_left_out_and_gone_afterwards(tmp_path, damage):
    Memo(tmp_path).put("good", ONE)
    path = tmp_path / FILE
    path.write_bytes(damage + (b"" if damage.endswith(b"\n") else b"\n") + path.read_bytes())
    assert Memo(tmp_path).get("good") == ONE
    assert Memo(tmp_path).get("a") is None
    assert [json.loads(line)[0] for line in path.read_text().splitlines()] == ["good"]
    assert [found.name for found in tmp_path.iterdir()] == [FILE]


def test_a_last_line_that_was_cut_off_costs_no_more_than_the_next_one(tmp_path):
    # As a kill in the middle of a write leaves it: what is appended then shares its line until somebody reads.
    Memo(tmp_path).put("good", ONE)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'["cut", 0.1')
    memo = Memo(tmp_path)
    assert memo.get("good") == ONE
    memo.put("more", ONE)
    assert Memo(tmp_path).get("more") == ONE
    assert Memo(tmp_path).get("cut") is None


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    memo = Memo(tmp_path / "file" / "below")
    memo.put("a", ONE)
    assert memo.get("a") == ONE
    assert memo.get("b") is None


def test_an_old_file_grows_no_further_than_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("effwidgets.search.clocks.memo._MOST", 10)
    memo = Memo(tmp_path)
    for number in range(12):
        memo.put(str(number), ONE)
    other = Memo(tmp_path)
    assert other.get("11") == ONE
    assert [json.loads(line)[0] for line in (tmp_path / FILE).read_text().splitlines()] == ["7", "8", "9", "10", "11"]


@pytest.mark.slow
def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    program = (
        "import sys; from pathlib import Path; from effwidgets.search.clocks.memo import Memo, Timed\n"
        "memo = Memo(Path(sys.argv[1]))\n"
        "for number in range(200):\n"
        "    memo.put(f'{sys.argv[2]}{number}', Timed(before_s=1.0, after_s=0.5, error_s=0.1, repeats=number))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "ab"]
    assert [process.wait() for process in started] == [0, 0]
    memo = Memo(tmp_path)
    assert all(memo.get(f"{name}{number}").repeats == number for name in "ab" for number in range(200))


def test_the_folder_is_the_users_cache_unless_another_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("EFFWIDGETS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("EFFWIDGETS_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "effwidgets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "effwidgets"
