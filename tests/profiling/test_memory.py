"""The books about storages against a slow version that looks at everything each time."""

import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import nn

from effwidgets.profiling import ProfileOptions, profile
from effwidgets.profiling.memory import Ledger, storage_of

STEPS = some.lists(
    some.one_of(
        some.tuples(some.just("make"), some.integers(0, 64)),
        some.tuples(some.sampled_from(["let go", "hold", "release", "revive", "view", "grow"]), some.integers(0, 9)),
    ),
    max_size=40,
)


@given(STEPS)
def test_both_sums_and_both_peaks_equal_those_of_an_obvious_version(steps):  # noqa: C901  one branch for each step
    ledger = Ledger()
    rows = []  # tensor or None, cell, bytes, holders
    live_peak = held_peak = 0
    for number, (what, value) in enumerate(steps):
        row = rows[value % len(rows)] if rows else None
        if what == "make":
            tensor = torch.empty(value, device="meta")
            ledger.add([tensor], str(number))
            rows.append([tensor, ledger.cell_of(tensor), 4 * value, 0])
            del tensor
        elif row is None:
            continue
        elif what == "let go":
            row[0] = None
        elif what == "hold" and row[0] is not None:
            ledger.hold(row[1])
            row[3] += 1
        elif what == "release" and row[3]:
            row[3] -= 1
            ledger.release(row[1])
        elif what == "revive" and row[3]:
            row[0] = ledger.revive(row[1], 1)  # the storage itself
        elif what == "view" and isinstance(row[0], torch.Tensor):
            ledger.add([row[0].view(-1), row[0][None]], str(number))
        elif what == "grow" and isinstance(row[0], torch.Tensor):
            row[0].resize_(row[0].numel() + 1)
            row[2] = row[0].untyped_storage().nbytes()
            ledger.add([row[0]], str(number))
        live = sum(size for holder, _, size, _ in rows if holder is not None)
        held = sum(size for holder, _, size, holders in rows if holder is not None or holders)
        assert (ledger.live, ledger.held) == (live, held)
        if what in {"make", "view", "grow"}:
            live_peak, held_peak = max(live_peak, live), max(held_peak, held)
            assert (ledger.live_peak_bytes, ledger.held_peak_bytes) == (live_peak, held_peak)


def test_peaks_name_the_layer_and_the_backward_moves_only_one_of_them():
    ledger = Ledger()
    first = torch.empty(10, device="meta")
    ledger.add([first], "a")
    second = torch.empty(10, device="meta")
    ledger.add([second], "b")
    ledger.backward = True
    third = torch.empty(10, device="meta")
    ledger.add([third], "c")
    assert (ledger.live_peak_bytes, ledger.live_peak_at) == (80, "b")
    assert (ledger.held_peak_bytes, ledger.held_peak_at) == (120, "c")


def test_what_is_outside_never_counts_nor_what_no_operation_made():
    weight, buffer = torch.empty(10, device="meta"), torch.empty(5, device="meta")
    ledger = Ledger([weight])
    ledger.add([weight, weight.view(2, 5)], "a")
    assert ledger.cell_of(weight) is None
    assert ledger.cell_of(buffer).bytes == 0
    ledger.add([buffer], "a")
    assert (ledger.live, ledger.held_peak_bytes) == (0, 0)


def test_a_storage_at_the_address_of_one_that_is_gone_counts_anew():
    ledger = Ledger()
    seen = set()
    for _ in range(50):
        tensor = torch.empty(8, device="meta")
        seen.add(tensor.untyped_storage()._cdata)
        ledger.add([tensor], "a")
        assert ledger.live == 32
        del tensor
        assert ledger.live == 0
    assert len(seen) < 50  # addresses were used again


def test_a_sparse_tensor_has_no_storage_and_does_not_count():
    sparse = torch.eye(3).to_sparse()
    assert storage_of(sparse) is None
    ledger = Ledger([sparse])
    ledger.add([sparse], "a")
    assert ledger.cell_of(sparse) is None
    assert ledger.held == 0


class Grows(nn.Module):
    """Writes into a tensor that has no entries yet."""

    def forward(self, x):
        out = torch.empty(0)
        with torch.no_grad():
            torch.mm(x, x, out=out)
        return out.sum()


@pytest.mark.parametrize("times", [1, 2])
def test_what_grows_in_its_place_counts_as_grown(times):
    for _ in range(times):  # also when the operations are known
        memory = profile(Grows(), torch.ones(8, 8), options=ProfileOptions(groups=False)).memory
        assert memory.inference_peak_bytes == 8 * 8 * 4 + 4


def test_a_view_that_is_kept_keeps_the_whole_of_its_storage():
    class Part(nn.Module):
        def forward(self, x):
            wide = x.exp()  # 64 x 16, kept by its own backward
            return (wide[:1] * wide[1:2]).sum()

    x = torch.ones(64, 16, requires_grad=True)
    memory = profile(Part(), x, options=ProfileOptions(groups=False)).memory
    assert memory.saved_bytes == 64 * 16 * 4
    # In the backward: it, and the gradients of the product, of both of its sides, padded, and their sum.
    assert memory.training_peak_bytes >= 3 * 64 * 16 * 4
    gc.collect()
    again = profile(Part(), x, options=ProfileOptions(groups=False)).memory
    assert again == memory
