"""The algebra of the factorizations."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from effwidgets.transforms.factorize.factors import (
    matrix_factors,
    matrix_product,
    spatial_factors,
    spatial_product,
    tucker_factors,
    tucker_product,
)

# Float32 keeps seven digits and a singular value decomposition of these sizes loses one to two of them.
CLOSE = 1e-5


def relative(came: torch.Tensor, expected: torch.Tensor) -> float:
    return float((came - expected).norm() / expected.norm())


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(12, 8, 3, 5, generator=torch.Generator().manual_seed(0))


def test_full_rank_gives_the_weight_back(weight):
    matrix = weight[:, :, 0, 0]
    assert relative(matrix_product(*matrix_factors(matrix, 8)), matrix) < CLOSE
    assert relative(spatial_product(*spatial_factors(weight, 24)), weight) < CLOSE
    assert relative(tucker_product(*tucker_factors(weight, 8, 12)), weight) < CLOSE


def test_a_separable_convolution_of_rank_four_is_found_exactly():
    generator = torch.Generator().manual_seed(1)
    vertical, horizontal = (
        torch.randn(4, 8, 3, 1, generator=generator),
        torch.randn(12, 4, 1, 3, generator=generator),
    )
    whole = spatial_product(vertical, horizontal)
    found = spatial_factors(whole, 4)
    assert relative(spatial_product(*found), whole) < CLOSE
    image = torch.randn(2, 8, 9, 9, generator=generator)
    dense = functional.conv2d(image, whole, stride=2, padding=1)
    apart = functional.conv2d(
        functional.conv2d(image, found[0], stride=(2, 1), padding=(1, 0)), found[1], stride=(1, 2), padding=(0, 1)
    )
    assert relative(apart, dense) < CLOSE


def test_the_error_of_a_matrix_is_the_tail_of_its_singular_values(weight):
    matrix = weight[:, :, 1, 1].double()
    values = torch.linalg.svdvals(matrix)
    for rank in range(1, 8):
        error = (matrix_product(*matrix_factors(matrix, rank)) - matrix).norm()
        assert error == pytest.approx(float(values[rank:].norm()), rel=1e-9)  # double precision, exact but for rounding


def test_the_error_of_a_spatial_split_is_the_tail_of_its_unfolding(weight):
    unfolded = weight.double().permute(1, 2, 0, 3).reshape(8 * 3, 12 * 5)
    values = torch.linalg.svdvals(unfolded)
    error = (spatial_product(*spatial_factors(weight.double(), 10)) - weight.double()).norm()
    assert error == pytest.approx(float(values[10:].norm()), rel=1e-9)


def test_factors_share_the_scale(weight):
    first, second = matrix_factors(weight[:, :, 0, 0], 5)
    # Each carries the square roots of the same singular values.
    assert torch.allclose(first.norm(dim=1), second.norm(dim=0), rtol=1e-5)
    vertical, horizontal = spatial_factors(weight, 5)
    assert torch.allclose(vertical.flatten(1).norm(dim=1), horizontal.transpose(0, 1).flatten(1).norm(dim=1), rtol=1e-5)


def test_a_tucker_split_is_no_worse_than_projecting_on_the_leading_bases(weight):
    flat = weight.flatten(2)
    out = torch.linalg.svd(flat.flatten(1))[0][:, :5]
    into = torch.linalg.svd(flat.movedim(1, 0).flatten(1))[0][:, :4]
    projected = torch.einsum("oik,op,iq,np,mq->nmk", flat, out, into, out, into).reshape(weight.shape)
    found = tucker_product(*tucker_factors(weight, 4, 5))
    assert (found - weight).norm() <= (projected - weight).norm() + 1e-5


def test_a_tucker_split_takes_ranks_larger_than_the_other_side_can_fill():
    narrow = torch.randn(16, 12, 1, generator=torch.Generator().manual_seed(2))
    first, middle, last = tucker_factors(narrow, 12, 2)
    assert (first.shape, middle.shape, last.shape) == ((12, 12, 1), (2, 12, 1), (16, 2, 1))
    assert first.norm(dim=1).min() > 0.5  # rows that nothing fills are a basis, not zeros: they can learn


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays(weight, dtype):
    typed = weight.to(dtype)
    for parts, product in (
        (spatial_factors(typed, 24), spatial_product),
        (tucker_factors(typed, 8, 12), tucker_product),
    ):
        assert all(part.dtype == dtype for part in parts)
        # Three factors, each rounded once to this dtype, of entries that add up with mixed signs.
        assert relative(product(*parts).double(), typed.double()) < 16 * torch.finfo(dtype).eps
