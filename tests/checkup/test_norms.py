"""Norms of every dtype and layout, against dense tensors in float64."""

import math

import pytest
import torch

from effwidgets.checkup.norms import nonfinite, norm, square

ROWS = torch.tensor([[1.5, 0.0, -2.0, 0.0], [0.0, 0.0, 0.0, 6.0]])  # in every format, and so is their norm, 6.5

LAYOUTS = {
    "coo": torch.Tensor.to_sparse_coo,
    "csr": torch.Tensor.to_sparse_csr,
    "csc": torch.Tensor.to_sparse_csc,
    "bsr": lambda dense: dense.to_sparse_bsr((1, 2)),
    "bsc": lambda dense: dense.to_sparse_bsc((1, 2)),
    "mkldnn": torch.Tensor.to_mkldnn,
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_the_layout_the_sum_of_squares_is_that_of_the_dense_tensor(layout):
    assert square(LAYOUTS[layout](ROWS)) == 6.5**2
    assert nonfinite(LAYOUTS[layout](ROWS)) == 0
    assert nonfinite(LAYOUTS[layout](ROWS / torch.tensor([1.0, 1.0, 0.0, 1.0]))) == 2  # -2 and 0 by 0


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64]
)
def test_whatever_the_dtype_the_sum_of_squares_is_exact_where_the_numbers_are(dtype):
    assert square(ROWS.to(dtype)) == 6.5**2
    assert nonfinite(ROWS.to(dtype)) == 0
    assert nonfinite(torch.tensor([1.0, math.nan]).to(dtype)) == 1


def test_entries_that_were_given_twice_are_added_up_before_they_are_squared():
    twice = torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (3,), check_invariants=True)
    assert square(twice) == 9


def test_the_norm_of_nothing_and_one_that_is_no_number_are_none():
    assert norm([]) is norm([torch.tensor([math.inf])]) is None
    assert norm([torch.zeros(3)]) == 0
