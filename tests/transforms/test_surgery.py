"""Layers are found by their paths, aliases too, without a list of all modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch import nn

from effwidgets.errors import UnknownNameError
from effwidgets.transforms.surgery import find_layer, layer_names


class _Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        self.again = self.block
        self.nothing = None
        self.add_module("empty", None)


def test_every_path_that_there_is_leads_to_its_module() -> None:
    model = _Shared()
    paths = dict(model.named_modules(remove_duplicate=False))
    assert layer_names(model) == ("block", "block.0", "block.1", "again", "again.0", "again.1")
    assert all(find_layer(model, path) is module for path, module in paths.items())


@pytest.mark.parametrize("name", ["blok", "block.2", "block..0", "block.0.weight", "empty", "nothing", ".block"])
def test_what_is_no_path_is_answered_with_the_paths(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"block\.0"):
        find_layer(_Shared(), name)


def test_finding_a_layer_does_not_list_the_others() -> None:
    # A plan asks for each of its layers several times: with a list each time, the work grows with their square.
    class Counted(_Shared):
        def named_modules(self, *_args: object, **_kwargs: object) -> Iterator[tuple[str, nn.Module]]:
            raise AssertionError

    model = Counted()
    assert find_layer(model, "again.1") is model.block[1]
