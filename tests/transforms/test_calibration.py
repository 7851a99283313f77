"""A few batches of real inputs, in the forms in which people have them."""

from __future__ import annotations

from collections import UserDict

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call
from effwidgets.transforms.calibration import Calibration, calibration_of


def test_nothing_is_nothing_and_a_calibration_stays_itself():
    data = Calibration(batches=(Call((torch.zeros(1),)),))
    assert calibration_of(None) is None
    assert calibration_of(data) is data


def test_a_loader_of_pairs_gives_its_inputs_and_is_read_no_further_than_the_limit():
    taken = []

    class Counted(TensorDataset):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
            taken.append(index)
            return super().__getitem__(index)

    loader = DataLoader(Counted(torch.arange(40.0)[:, None], torch.zeros(40)), batch_size=4)
    data = calibration_of(loader, limit=3)
    assert [batch.args[0].flatten().tolist() for batch in data.batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len(taken) == 12


@pytest.mark.parametrize(
    "data",
    [
        torch.zeros(2, 3),
        Call((torch.zeros(2, 3),)),
        {"x": torch.zeros(2, 3)},
        UserDict({"x": torch.zeros(2, 3)}),
        [torch.zeros(2, 3)],
        (batch for batch in [(torch.zeros(2, 3), torch.zeros(2))]),
        [{"x": torch.zeros(2, 3)}],
        DataLoader(TensorDataset(torch.zeros(2, 3)), batch_size=2),
    ],
    ids=["tensor", "call", "mapping", "batch encoding", "list", "generator of pairs", "list of mappings", "loader"],
)
def test_every_form_is_one_batch(data):
    (batch,) = calibration_of(data).batches
    (tensor,) = [*batch.args, *batch.kwargs.values()]
    assert tensor.shape == (2, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "Calibration data is int"),
        ([], "holds no batch"),
        ([(torch.zeros(1), torch.zeros(1), torch.zeros(1))], "a tuple of 3; inputs alone or"),
        ([7], "The inputs are of type int"),
    ],
)
def test_what_is_no_data_is_said(data, message):
    with pytest.raises(InputError, match=message):
        calibration_of(data)
