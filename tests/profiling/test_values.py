"""Values that a shadow keeps: indices outside of their table are seen."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from effwidgets.errors import ModelError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import profile, profile_shadow
from effwidgets.profiling.shadow import make_shadow


class Table(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.how = how

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        match self.how:
            case "module":
                return self.table(ids)
            case "functional":
                return functional.embedding(ids, weight=self.table.weight)
            case "bag":
                return functional.embedding_bag(ids, self.table.weight)
            case "index":
                return self.table.weight[ids]
            case _:
                return self.table.weight.index_select(0, ids.flatten())


HOW = ["module", "functional", "bag", "index", "select"]


def looked(how: str, ids: torch.Tensor) -> int:
    shadow = make_shadow(Table(how))
    return profile_shadow(shadow, Call((ids,))).cost.output_bytes


@pytest.mark.parametrize("how", HOW)
def test_an_index_past_the_table_fails_as_on_the_real_model(how):
    ids = torch.tensor([[0, 10]])
    with pytest.raises((IndexError, RuntimeError), match=r"range|bounds"):
        Table(how)(ids)
    with pytest.raises(ModelError, match="index 10 is out of range: the table has 10 rows"):
        looked(how, ids)


@pytest.mark.parametrize("how", HOW)
def test_the_last_index_of_the_table_runs(how):
    assert looked(how, torch.tensor([[0, 9]])) > 0


@pytest.mark.parametrize("how", HOW)
def test_an_index_past_the_table_fails_too_when_the_operation_is_remembered(how):
    looked(how, torch.tensor([[0, 9]]))
    with pytest.raises(ModelError, match="index 11 is out of range"):
        looked(how, torch.tensor([[11, 0]]))


def test_counting_from_the_end_is_allowed_where_torch_allows_it():
    assert looked("index", torch.tensor([-10, -1])) > 0
    with pytest.raises(ModelError, match="index -11 is out of range"):
        looked("index", torch.tensor([-11]))


def test_masks_slices_and_floats_are_no_indices():
    class Sliced(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[1:, None][..., 0]

    shadow = make_shadow(Sliced())
    assert profile_shadow(shadow, Call((torch.zeros(4, 3),))).layers[0].outputs == ((3, 1),)


class Writes(nn.Module):
    """Reads a number after it was written into, in ways that a copy of the values does not see."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("numbers", torch.tensor([1, 2, 3]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        numbers = self.numbers.clone()
        last = numbers[2:]
        place = torch.zeros((), dtype=torch.long)
        match self.how:
            case "a view":
                last.fill_(7)
                many = int(numbers[2])
            case "the whole":
                numbers.fill_(7)
                many = int(last)
            case "out=":
                torch.argmax(x, out=place)  # of activations, whose values nobody knows
                many = int(place) + 1
            case _:
                numbers += 4
                many = int(last)
        return torch.cat([x] * many)


@pytest.mark.parametrize("how", ["a view", "the whole", "out=", "a sum"])
def test_a_value_is_not_believed_after_a_write(how):
    x = torch.arange(4.0)[None]
    rows = Writes(how)(x).shape[0]
    assert profile(Writes(how), x).layers[0].outputs == ((rows, 4),)
