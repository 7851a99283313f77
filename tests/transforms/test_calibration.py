"""A few batches of real inputs, in the forms in which people have them."""

from __future__ import annotations

from collections import UserDict
from concurrent.futures import ThreadPoolExecutor

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


LIKE = Call((torch.zeros(1, 3), torch.zeros(1, 2)))
BATCH = (torch.rand(4, 3), torch.rand(4, 2), torch.arange(4))


@pytest.mark.parametrize(
    "data",
    [BATCH, [BATCH, BATCH], DataLoader(TensorDataset(*BATCH), batch_size=2)],
    ids=["one batch in a tuple", "a list", "a loader"],
)
def test_the_call_of_the_model_says_what_of_a_batch_is_taken(data):
    found = calibration_of(data, like=LIKE)
    assert [[tensor.shape[1] for tensor in batch.args] for batch in found.batches] in ([[3, 2]], [[3, 2]] * 2)
    first = torch.cat([batch.args[0] for batch in found.batches])[:4]
    assert torch.equal(first, BATCH[0])


def test_a_list_of_inputs_is_several_batches_unless_only_the_whole_fits():
    one = Call((torch.zeros(1, 3),))
    assert len(calibration_of([BATCH[0], BATCH[0]], like=one).batches) == 2
    assert len(calibration_of([BATCH[0], BATCH[1]], like=LIKE).batches) == 1


def test_a_function_says_how_a_batch_becomes_inputs():
    found = calibration_of([{"a": {"b": BATCH[0]}}], like=LIKE, how=lambda batch: (batch["a"]["b"], BATCH[1]))
    assert found.batches[0].args[0] is BATCH[0]
    assert calibration_of(BATCH[0], how=lambda batch: batch + 1).batches[0].args[0].equal(BATCH[0] + 1)
    with pytest.raises(InputError, match=r"how failed with KeyError: 'c'. It was given a batch, a dict"):
        calibration_of([{"a": 1}], how=lambda batch: batch["c"])


def test_a_dataset_is_told_from_a_loader():
    with pytest.raises(InputError, match="TensorDataset, single samples: wrap it"):
        calibration_of(TensorDataset(*BATCH), like=LIKE)
    with pytest.raises(InputError, match="These look like single samples"):
        calibration_of(list(TensorDataset(*BATCH)), like=LIKE)
    with pytest.raises(InputError, match="limit is 0"):
        calibration_of([BATCH], like=LIKE, limit=0)


@pytest.mark.parametrize("own", [True, False], ids=["a generator of its own", "torch's generator"])
def test_a_loader_that_shuffles_takes_no_random_numbers(own):
    dice = torch.Generator().manual_seed(3) if own else None
    loader = DataLoader(TensorDataset(torch.arange(64.0)[:, None]), batch_size=8, shuffle=True, generator=dice)
    state, drawn = torch.get_rng_state(), loader.generator.get_state() if own else None
    one, again = (calibration_of(loader, limit=2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert drawn is None or torch.equal(loader.generator.get_state(), drawn)
    assert torch.equal(one.batches[0].args[0], again.batches[0].args[0])
    assert one.batches[0].args[0].flatten().tolist() != list(range(8))


def test_on_another_thread_the_generators_of_the_process_are_not_touched():
    loader = DataLoader(TensorDataset(torch.arange(64.0)[:, None]), batch_size=8, shuffle=True)
    state = torch.get_rng_state()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(calibration_of, loader).result()
    assert torch.equal(torch.get_rng_state(), state)
    assert sorted(torch.cat([batch.args[0] for batch in found.batches]).flatten().tolist()) == list(range(64))


def test_arrays_of_numpy_stand_for_tensors():
    numpy = pytest.importorskip("numpy")
    rows = numpy.ones((8, 5))
    like = Call((torch.zeros(2, 5),))
    for data in (rows, [rows], [(rows, numpy.arange(8))], {"x": rows}):
        (batch,) = calibration_of(data, like=like).batches
        assert torch.equal(batch.args[0], torch.ones(8, 5))  # in the precision of the model's inputs
    with pytest.raises(InputError, match="takes float32 2 × 5"):
        calibration_of(numpy.array(["a", "b"]), like=like)


def test_how_is_asked_once_where_the_data_are_one_pair():
    pair, like = (torch.rand(8, 5), torch.arange(8)), Call((torch.zeros(2, 5),))
    (batch,) = calibration_of(pair, like=like, how=lambda batch: batch[0]).batches
    assert batch.args[0] is pair[0]
    assert len(calibration_of([pair, pair], like=like, how=lambda batch: batch[0]).batches) == 2


def test_what_how_makes_must_fit_the_model():
    pair, like = (torch.rand(8, 5), torch.arange(8)), Call((torch.zeros(2, 5),))
    with pytest.raises(InputError, match=r"What how makes of a batch does not fit.*int64 8.*takes float32 2 × 5"):
        calibration_of([pair], like=like, how=lambda batch: batch[1])


def test_data_that_fail_while_they_are_read_say_so():
    def broken():
        yield torch.zeros(2, 5)
        raise OSError("the disk is gone")

    with pytest.raises(InputError, match=r"\(generator\) failed after 1 batches with OSError: the disk is gone"):
        calibration_of(broken(), like=Call((torch.zeros(2, 5),)))
