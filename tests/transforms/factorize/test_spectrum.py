"""Leading directions: as good as those of an SVD, in every precision that is taken, and never those of another matrix."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.transforms.factorize import spectrum as spectrum_module
from effwidgets.transforms.factorize.factors import matrix_factors, matrix_product, tucker_factors, tucker_product
from effwidgets.transforms.factorize.spectrum import Spectrum, remembered, spectrum_of


def noise(*sizes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def lost(matrix: torch.Tensor, left: torch.Tensor) -> float:
    """How much of a matrix its projection on some directions leaves out, counted in double precision."""
    whole, basis = matrix.double(), left.double()
    return float((whole - basis @ (basis.T @ whole)).norm() / whole.norm())


@pytest.fixture
def decomposed(monkeypatch):
    """The precisions in which something was decomposed, in order."""
    seen = []

    def eigh(matrix):
        seen.append(matrix.dtype)
        return torch.linalg.eigh(matrix)

    monkeypatch.setattr(spectrum_module, "_eigh", eigh)
    return seen


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 40), more=st.integers(-20, 60), steep=st.floats(0, 8), rank=st.integers(1, 40))
def test_the_directions_leave_out_no_more_than_those_of_an_svd_in_double_precision(rows, more, steep, rank):
    columns, rank = max(1, rows + more), min(rank, rows)
    scale = torch.logspace(0, -steep, rows)[:, None]  # singular values over up to eight orders of magnitude
    matrix = scale * noise(rows, columns, seed=rows * 100 + columns)
    left = Spectrum(matrix).leading(rank)
    best = lost(matrix, torch.linalg.svd(matrix.double(), full_matrices=True)[0][:, :rank])
    # Orthogonal to single precision, and what is left out is the optimum but for that rounding.
    assert torch.allclose(left.T @ left, torch.eye(rank), atol=2e-5)
    assert lost(matrix, left) <= best * (1 + 1e-3) + 1e-6


def test_single_precision_is_taken_where_much_is_cut_off_and_double_where_little_is(decomposed):
    flat = noise(30, 200)
    Spectrum(flat).leading(10)
    assert decomposed == [torch.float32]
    exact = noise(30, 5) @ noise(5, 200, seed=1)
    left = Spectrum(exact).leading(5)
    assert decomposed[1:] == [torch.float32, torch.float64]
    assert lost(exact, left) < 1e-6  # of rank five but for single precision's seven digits


def test_a_small_component_that_single_precision_cannot_see_is_kept():
    # Its square is 1e-10 of the largest: below the roundings of a Gram matrix in single precision, well above double's.
    basis = torch.linalg.qr(noise(40, 3).double())[0]
    other = torch.linalg.qr(noise(300, 3, seed=1).double())[0]
    matrix = (basis * torch.tensor([1.0, 1e-2, 1e-5])) @ other.T
    assert lost(matrix.float(), Spectrum(matrix.float()).leading(3)) < 1e-6
    assert lost(matrix.float(), Spectrum(matrix.float()).leading(2)) == pytest.approx(1e-5, rel=0.01)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_the_scale_of_a_weight_does_not_matter(scale):
    weight = noise(20, 30)
    first, second = matrix_factors(weight * scale, 6)
    plain = matrix_product(*matrix_factors(weight, 6))
    came = matrix_product(first, second) / scale
    assert (came - plain).norm() < 1e-5 * plain.norm()


def test_a_weight_of_zeros_has_factors_of_zeros():
    assert all(bool((factor == 0).all()) for factor in matrix_factors(torch.zeros(6, 9), 3))
    assert bool((tucker_product(*tucker_factors(torch.zeros(6, 9, 3), 3, 3)) == 0).all())


def test_a_matrix_is_decomposed_once_for_all_ranks_while_it_is_remembered(decomposed):
    weight = noise(24, 40)
    with remembered():
        several = [matrix_factors(weight, rank) for rank in (3, 6, 9)]
    assert len(decomposed) == 1
    alone = [matrix_factors(weight, rank) for rank in (3, 6, 9)]
    assert len(decomposed) == 4
    for one, other in zip(several, alone, strict=True):
        assert all(map(torch.equal, one, other))


def test_a_weight_that_was_written_into_is_decomposed_anew(decomposed):
    weight = noise(24, 40)
    with remembered():
        matrix_factors(weight, 3)
        weight.data[0] += 1  # leaves no trace in the version that autograd keeps
        changed = matrix_factors(weight, 3)
    assert len(decomposed) == 2
    assert all(map(torch.equal, changed, matrix_factors(weight, 3)))


def test_nothing_is_remembered_afterwards_or_on_another_thread():
    matrix = noise(4, 6)
    found = []
    with remembered():
        held = spectrum_of(matrix)
        assert spectrum_of(matrix) is held
        thread = threading.Thread(target=lambda: found.append(spectrum_of(matrix)))
        thread.start()
        thread.join()
    assert found[0] is not held
    assert spectrum_of(matrix) is not held


@pytest.mark.parametrize("rank", [32, 128])
def test_few_directions_of_a_large_matrix_are_iterated_and_leave_out_hardly_more(decomposed, rank):
    white = noise(512, 640)
    least = float(torch.linalg.svdvals(white.double())[rank:].norm() / white.double().norm())
    # White noise is the worst there is: no gap anywhere in its spectrum. 0.5% is what the docstring says.
    assert lost(white, Spectrum(white).leading(rank)) <= 1.005 * least
    assert not decomposed
    Spectrum(white, once=False).leading(rank)
    assert decomposed == [torch.float32]  # several ranks of one matrix: one decomposition serves them


def test_an_exactly_low_rank_large_matrix_is_left_to_double_precision(decomposed):
    exact = noise(600, 8) @ noise(8, 600, seed=1)
    assert lost(exact, Spectrum(exact).leading(8)) < 1e-6
    assert torch.float64 in decomposed


def test_squares_are_those_of_an_svd_in_the_sums_that_ranks_lose():
    matrix = noise(60, 90) @ torch.diag(torch.logspace(0, -3, 90))
    found, true = spectrum_module.squares_of(matrix, 40), torch.linalg.svdvals(matrix.double()).square()
    for rank in range(41):
        assert float(found[rank:].sum()) == pytest.approx(float(true[rank:].sum()), rel=1e-3)
    assert torch.allclose(spectrum_module.squares_of(matrix.T, 40), found, rtol=1e-4, atol=1e-8)
