"""A line of the magic as its words."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.errors import InputError
from effwidgets.line import words_of


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  profile   model\tx ", ["profile", "model", "x"]),
        ('batch["input ids"]', ['batch["input ids"]']),
        ("f(a, b) [1, 2] {'a': x}", ["f(a, b)", "[1, 2]", "{'a': x}"]),
        ("f(')', b) c", ["f(')', b)", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("'a'+'b'", ["'a'+'b'"]),
        (r"'d[\'k\']'", ["d['k']"]),
        ("--budget='40 %' --pick=0,2", ["--budget=40 %", "--pick=0,2"]),
        (r"my\ folder C:\new", ["my folder", r"C:\new"]),
        ("''", [""]),
        ("f(x y", ["f(x y"]),
        ("a) b", ["a)", "b"]),
    ],
)
def test_a_line_is_split_outside_of_quotes_and_brackets(line: str, words: list[str]) -> None:
    assert words_of(line) == words


def test_a_quote_that_stays_open_is_said() -> None:
    with pytest.raises(InputError, match="Close the quotes"):
        words_of("profile 'model")


@given(st.lists(st.text("ab. -_=/", min_size=1), max_size=4))
def test_words_quoted_as_in_a_shell_are_read_as_in_a_shell(words: list[str]) -> None:
    line = shlex.join(words)
    assert words_of(line) == shlex.split(line)
