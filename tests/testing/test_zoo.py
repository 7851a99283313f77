"""The zoo itself: same values each time, no trace left, real forwards."""

import pytest
import torch

from effwidgets.errors import UnknownNameError
from effwidgets.profiling.calls import run, tensors_in
from effwidgets.testing.zoo import MODELS, resnet18, resnet50, specimen


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_a_specimen_is_the_same_each_time_and_leaves_the_random_state_alone(found):
    state = torch.get_rng_state()
    first, second = found.build(), found.build()
    assert torch.equal(torch.get_rng_state(), state)
    assert not first.training
    with torch.no_grad():
        out, again = run(first, found.inputs()), run(second, found.inputs())
    assert torch.equal(out, again)
    assert torch.isfinite(out).all()
    assert out.std() > 0
    assert sum(parameter.numel() for parameter in first.parameters()) == found.params
    assert all(torch.equal(a, b) for a, b in zip(tensors_in(found.inputs()), tensors_in(found.inputs()), strict=True))


def test_a_specimen_is_found_by_name_and_an_unknown_one_is_answered():
    assert specimen("u_net").name == "u_net"
    with pytest.raises(UnknownNameError, match="u_net"):
        specimen("unet")


def test_names_are_unique():
    assert len({found.name for found in MODELS}) == len(MODELS)


def test_the_residual_networks_have_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in resnet18().parameters()) == 11_689_512
        assert sum(parameter.numel() for parameter in resnet50().parameters()) == 25_557_032
