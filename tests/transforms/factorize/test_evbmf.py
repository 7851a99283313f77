"""The rank of a matrix in noise."""

from __future__ import annotations

import pytest
import torch

from effwidgets.transforms.factorize.evbmf import evbmf_rank, weakened


def squares(rows: int, columns: int, rank: int, *, seed: int, strength: float = 1.0) -> torch.Tensor:
    own = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, columns, generator=own)
    planted = torch.randn(rows, rank, generator=own) @ torch.randn(rank, columns, generator=own)
    return torch.linalg.svdvals(noise + strength * planted).square()


@pytest.mark.parametrize("size", [(128, 256), (256, 128), (200, 200), (100, 1000)], ids=str)
@pytest.mark.parametrize("rank", [5, 20, 60])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_ranks_are_found(size, rank, seed):
    assert evbmf_rank(squares(*size, rank, seed=seed), *size) == rank


@pytest.mark.parametrize("size", [(128, 256), (200, 200), (64, 576), (512, 512)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_rank(size, seed):
    assert evbmf_rank(squares(*size, 0, seed=seed), *size) == 0


def test_the_scale_of_a_matrix_says_nothing():
    found = squares(100, 200, 7, seed=3)
    assert {evbmf_rank(found * scale, 100, 200) for scale in (1e-12, 1.0, 1e12)} == {7}


def test_zeros_and_single_rows_are_no_error():
    assert evbmf_rank(torch.zeros(8), 8, 16) == 0
    assert evbmf_rank(torch.ones(1), 1, 16) in (0, 1)


def test_weakening_goes_from_what_was_found_to_full_rank():
    assert [weakened(10, 50, share) for share in (0.0, 0.5, 1.0)] == [10, 30, 50]
    assert weakened(0, 50, 0.9) == 0
