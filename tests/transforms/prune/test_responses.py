"""How strong channels are on real inputs, where pictures are flattened, grouped, or not read at all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import profile
from effwidgets.records import Step, settings
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.prune.responses import activation, taylor
from effwidgets.transforms.prune.scenes import Scene
from effwidgets.transforms.prune.trims import layer_axes
from effwidgets.transforms.surgery import find_layer

X = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(7))


def scene(model: nn.Module, inputs: Tensor = X, data: Tensor = X) -> Scene:
    known = profile(model, inputs)
    group = known.groups[0]
    return Scene(
        step=Step(transform="channel_prune", layers=(group.name,), settings=settings(channels=1)),
        group=group,
        modules={member.layer: find_layer(model, member.layer) for member in group.members},
        axes={member.layer: layer_axes(known.layer(member.layer), group) for member in group.members},
        model=model,
        calibration=Calibration(batches=(Call((data,)),)),
    )


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def test_a_flattened_channel_is_all_of_its_places():
    torch.manual_seed(0)
    model = Flat()
    hidden = torch.relu(model.conv(X)).flatten(1).double()
    # By hand: entries 16 c to 16 c + 15 are channel c.
    each = hidden.square().mean(0) * model.fc.weight.double().square().sum(0)
    expected = each.view(4, 16).sum(1).sqrt()
    assert torch.allclose(activation(scene(model)), (expected / expected.mean()).detach())


def test_the_first_order_of_a_channel_is_what_a_linear_tail_loses():
    torch.manual_seed(0)
    model = Flat()
    hidden = torch.relu(model.conv(X)).flatten(1)
    lost = torch.stack(
        [(hidden[:, 16 * c : 16 * c + 16] @ model.fc.weight[:, 16 * c : 16 * c + 16].T).norm() for c in range(4)]
    )
    found = taylor(scene(model))
    # 16 samples in 16 directions, five outputs each: the square is off by sqrt(2 / 256) = 9%, its root by half; three
    # of these.
    assert torch.allclose(found / found.mean(), (lost / lost.mean()).double().detach(), rtol=0.14)


def test_a_reader_in_groups_weighs_a_channel_by_its_own_group():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 6, 1, groups=2), nn.Conv2d(6, 2, 1))
    hidden = torch.relu(model[0](X)).double()
    weight = torch.zeros(6, 8, dtype=torch.float64)  # the same convolution without groups
    weight[:3, :4], weight[3:, 4:] = model[2].weight[:3, :, 0, 0], model[2].weight[3:, :, 0, 0]
    expected = (hidden.square().mean((0, 2, 3)) * weight.square().sum(0)).sqrt()
    assert torch.allclose(activation(scene(model)), (expected / expected.mean()).detach())


class Sometimes(nn.Module):
    """A reader that only runs on large batches."""

    def __init__(self) -> None:
        super().__init__()
        self.make, self.read, self.other = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.make(x)) if len(x) > 1 else self.other(x)


@pytest.mark.parametrize("criterion", [activation, taylor])
def test_readers_that_do_not_run_on_the_data_are_named(criterion):
    rows = torch.ones(2, 3)
    with pytest.raises(TransformError, match="read did not run on the calibration data"):
        criterion(scene(Sometimes(), rows, rows[:1]))


@pytest.mark.parametrize("criterion", [activation, taylor])
def test_infinities_in_the_data_are_said(criterion):
    torch.manual_seed(0)
    bad = X.clone()
    bad[0, 0, 0, 0] = torch.inf
    with pytest.raises(TransformError, match="infinities or NaN"):
        criterion(scene(Flat(), X, bad))


def test_a_layer_that_is_called_by_name_is_seen():
    class Named(Flat):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(input=torch.relu(self.conv(x)).flatten(1))

    torch.manual_seed(0)
    one = Flat()
    other = Named()
    other.load_state_dict(one.state_dict())
    assert torch.equal(activation(scene(one)), activation(scene(other)))


def test_gradients_of_frozen_layers_are_found_and_none_is_left_behind():
    torch.manual_seed(0)
    model = Flat()
    before = taylor(scene(model))
    model.requires_grad_(requires_grad=False)
    with torch.no_grad():
        assert torch.allclose(taylor(scene(model)), before)
        assert not torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())
