"""Tables for a terminal, of names that strangers gave."""

import pytest
import torch
from torch import nn

from effwidgets.profiling import profile
from effwidgets.views import layers
from effwidgets.views.page import esc
from effwidgets.views.texttable import Column, fold, plain, table


@pytest.mark.parametrize("odd", ["\n", "\r", "\x1b", "\x07", "\u2028", "\u202e", "\ud800"])
def test_what_breaks_or_turns_a_line_becomes_a_mark(odd):
    assert plain(f"a{odd}b") == "a\ufffdb"
    assert len(table([Column("Layer")], [[f"a{odd}b"]])) == 3
    assert all(line.isprintable() for line in fold([f"a{odd}b"]))


@pytest.mark.parametrize("name", ["layer.weight", "größe", "层", "🦄"])
def test_names_in_any_writing_stay_as_they_are(name):
    assert plain(name) == name


def test_a_class_with_a_line_break_in_its_name_takes_one_line_of_the_layer_table():
    odd = type("Odd\nOne" + "x" * 200, (nn.Linear,), {})
    plain_text = layers.draw_text(profile(nn.Sequential(nn.Linear(4, 4)), torch.ones(1, 4)))
    text = layers.draw_text(profile(nn.Sequential(odd(4, 4)), torch.ones(1, 4)))
    assert len(text.split("\n")) == len(plain_text.split("\n"))
    alone = layers.draw_text(profile(odd(4, 4), torch.ones(1, 4)))
    assert max(map(len, alone.split("\n"))) <= 120


def test_half_of_a_surrogate_pair_does_not_keep_a_page_from_being_sent():
    assert esc("a\ud800b").encode("utf-8") == b"a?b"
