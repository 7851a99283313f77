"""What every rank would lose, from one decomposition."""

from __future__ import annotations

import pytest
import torch

from effwidgets.errors import UnknownNameError
from effwidgets.transforms.factorize.factors import matrix_factors, matrix_product, spatial_factors, spatial_product
from effwidgets.transforms.factorize.spectra import energy_rank, spectra_of


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative(came: torch.Tensor, expected: torch.Tensor) -> float:
    return float((came - expected).norm() / expected.norm())


@pytest.mark.parametrize("rank", [1, 5, 9])
def test_the_errors_are_those_of_the_factors(rank):
    weight = random(12, 8, 3, 3)
    for transform, split, product in (
        ("low_rank", matrix_factors, matrix_product),
        ("spatial_svd", spatial_factors, spatial_product),
    ):
        spectra = spectra_of(transform, weight, [9])
        assert spectra.error([rank]) == pytest.approx(relative(product(*split(weight, rank)), weight), rel=1e-3)


def test_a_convolution_in_groups_adds_its_groups_up():
    weight = random(12, 4, 3, 3)
    spectra = spectra_of("low_rank", weight, [3], groups=2)
    parts = [matrix_product(*matrix_factors(part, 3)) for part in weight.chunk(2)]
    assert spectra.error([3]) == pytest.approx(relative(torch.cat(parts), weight), rel=1e-3)


def test_with_inputs_the_errors_are_those_of_the_outputs():
    weight, inputs = random(12, 20), random(400, 20, seed=1) * torch.logspace(-1, 1, 20)
    gram = (inputs.double().T @ inputs.double())[None]
    spectra = spectra_of("low_rank", weight, [5], gram=gram)
    values = torch.linalg.svdvals(inputs.double() @ weight.double().T)
    assert spectra.error([5]) == pytest.approx(float(values[5:].norm() / values.norm()), rel=1e-6)


def test_an_exactly_low_rank_weight_loses_nothing_at_its_rank():
    weight = random(300, 4) @ random(4, 200, seed=1)
    assert spectra_of("low_rank", weight, [66]).error([4]) < 1e-5
    assert energy_rank(spectra_of("low_rank", weight, [66]).squares[0], 0.999999) == 4


def test_a_technique_without_a_spectrum_is_answered_with_those_that_have_one():
    with pytest.raises(UnknownNameError, match="low_rank"):
        spectra_of("cp", random(4, 4, 3, 3), [1])
