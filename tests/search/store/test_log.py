"""Where a log is damaged, against what was done to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.errors import StoreError
from effwidgets.search.store.log import Damage, cut, damage_of

LINES = [json.dumps({"op_code": number, "text": "ü\u2028\n" * number}).encode() + b"\n" for number in range(6)]


@given(keep=st.integers(0, sum(map(len, LINES))))
def test_a_log_cut_anywhere_loses_exactly_the_line_that_was_cut(tmp_path_factory, keep):
    path = tmp_path_factory.mktemp("log") / "study.log"
    path.write_bytes(b"".join(LINES)[:keep])
    whole = [b"".join(LINES[:count]) for count in range(7)]
    damage = damage_of(path)
    if path.read_bytes() in whole:
        assert damage is None
        return
    before = max(start for start in map(len, whole) if start < keep)
    assert damage == Damage(line=list(map(len, whole)).index(before) + 1, start=before, size=keep, last=True)
    torn = path.read_bytes()[before:]
    cut(path, damage)
    assert path.read_bytes() == b"".join(LINES)[:before]
    assert [kept.read_bytes() for kept in path.parent.glob("study.log.torn-*")] == [torn]
    assert damage_of(path) is None


@pytest.mark.parametrize(
    "bad", [b"\0" * 50 + b"\n", b"[1]\n", b'{"op": 3}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"\n"]
)
def test_damage_in_the_middle_is_told_from_a_torn_end(tmp_path, bad):
    path = tmp_path / "study.log"
    path.write_bytes(LINES[0] + bad + LINES[1])
    assert damage_of(path) == Damage(line=2, start=len(LINES[0]), size=path.stat().st_size, last=False)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="line 2"):
        cut(path, damage_of(path))
    assert path.read_bytes() == before
    path.write_bytes(LINES[0] + bad + bad)
    assert damage_of(path).last
