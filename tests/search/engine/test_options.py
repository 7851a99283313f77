"""Options of a search that make no sense are refused where they are made."""

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.search import SearchOptions, explore


@pytest.mark.parametrize(
    "wrong",
    [
        {"box": 3},
        {"box": (0.0,)},
        {"box": ("a", "b")},
        {"time_limit_s": "x"},
        {"plans": 3},
        {"plans": (3,)},
        {"seed": "a"},
        {"seed": True},
        {"score_name": ""},
        {"score_name": 3},
    ],
    ids=str,
)
def test_an_option_of_the_wrong_kind_is_named(wrong):
    name = next(iter(wrong))
    with pytest.raises(InputError, match=name):
        SearchOptions(**wrong)


def test_something_else_than_options_is_refused():
    with pytest.raises(InputError, match="options is int"):
        explore(nn.Linear(2, 2), torch.ones(1, 2), evaluate=lambda _: 1.0, options=3)
