"""What makes a channel worth keeping: each criterion against numbers worked out another way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.prune.criteria import CRITERIA, strength, strongest
from effwidgets.transforms.prune.scenes import Scene
from effwidgets.transforms.prune.trims import layer_axes
from effwidgets.transforms.surgery import find_layer

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(7))


def scene(model: nn.Module, criterion: str, inputs: Tensor = X, *, data: bool = True, **values: object) -> Scene:
    known = profile(model, inputs)
    group = known.groups[0]
    return Scene(
        step=Step(transform="channel_prune", layers=(group.name,), settings=settings(criterion=criterion, **values)),
        group=group,
        modules={member.layer: find_layer(model, member.layer) for member in group.members},
        axes={member.layer: layer_axes(known.layer(member.layer), group) for member in group.members},
        model=model,
        calibration=Calibration(batches=(Call((inputs[::2],)), Call((inputs[1::2],)))) if data else None,
    )


def two_layers(act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), act(), nn.Linear(6, 3)).double().eval()


def relative(scores: Tensor) -> Tensor:
    return scores / scores.mean()


@pytest.mark.parametrize(("criterion", "power"), [("l1", 1), ("l2", 2)])
def test_norms_count_the_bias(criterion, power):
    model = two_layers()
    rows = torch.cat([model[0].weight, model[0].bias[:, None]], 1)
    expected = relative(rows.norm(p=power, dim=1))
    assert torch.allclose(strength(scene(model, criterion, X.double())), expected.detach())


def test_no_layer_rules_over_another_by_its_scale():
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.read = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.read(self.one(x) + self.two(x))

    torch.manual_seed(0)
    model = Sum()
    before = strength(scene(model, "l2"))
    with torch.no_grad():
        model.one.weight *= 1000
        model.one.bias *= 1000
    assert torch.allclose(strength(scene(model, "l2")), before)


def test_fpgm_finds_the_filter_that_the_others_surround():
    model = two_layers()
    with torch.no_grad():
        model[0].bias.zero_()
        model[0].weight.copy_(torch.eye(5, dtype=torch.float64)[[0, 0, 1, 1, 2, 2]] * 3)
        model[0].weight[1::2] *= -1
        model[0].weight[0] = 0.1  # in the middle of all
    rows = model[0].weight.detach()
    slow = torch.tensor([sum(float((a - b).norm()) for b in rows) for a in rows])
    found = strength(scene(model, "fpgm", X.double()))
    # Distances come from a product: their squares are off by some roundings of the rows' squares, 9e-16 here, so the
    # distance of a row to itself is up to 6e-8.
    assert torch.allclose(found, relative(slow.double()), atol=1e-7)
    assert int(found.argmin()) == 0


def test_activation_is_what_a_channel_adds_to_its_readers():
    model = two_layers()
    hidden = torch.relu(model[0](X.double()))
    # The slow way: what each channel alone gives to the next layer, in the mean square over rows, all outputs together.
    alone = [hidden[:, [c]] @ model[2].weight[:, [c]].T for c in range(6)]
    expected = relative(torch.stack([part.square().sum(1).mean().sqrt() for part in alone]))
    assert torch.allclose(strength(scene(model, "activation", X.double())), expected.detach())


def test_taylor_is_how_far_the_outputs_move():
    """In a linear tail the first order is all there is: silencing a channel moves the outputs by what it adds."""
    model = two_layers()
    hidden = torch.relu(model[0](X.double()))
    moved = torch.stack([(hidden[:, [c]] @ model[2].weight[:, [c]].T).norm() for c in range(6)]).detach()
    found = strength(scene(model, "taylor", X.double()))
    # 64 samples in 16 directions: the square is off by sqrt(2 / 1024) = 4.4%, twice that as few samples make most of it,
    # its root by half of that; three of these.
    assert torch.allclose(relative(found), relative(moved), rtol=0.13)


def test_taylor_adds_the_readers_up_before_it_squares():
    """What one reader adds the other one takes away: silencing moves nothing."""

    class Cancelling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make, self.plus, self.minus = nn.Linear(5, 4), nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            x = self.make(x)
            return self.plus(x) + self.minus(x)

    torch.manual_seed(0)
    model = Cancelling()
    with torch.no_grad():
        model.minus.weight.normal_()
        model.minus.weight[:, 2] = -model.plus.weight[:, 2]
    found = strength(scene(model, "taylor"))
    assert float(found[2]) < 1e-6 * float(found.max())  # float32
    assert int(strength(scene(model, "activation")).argmin()) != 2 or float(strength(scene(model, "activation"))[2]) > 0


@pytest.mark.parametrize("criterion", ["activation", "taylor"])
def test_a_criterion_of_activations_asks_for_data(criterion):
    with pytest.raises(TransformError, match=rf"'{criterion}' looks at real inputs .*calibration=batches"):
        strength(scene(two_layers(), criterion, X.double(), data=False))


def test_by_lot_is_the_same_for_a_seed_and_another_for_each_group():
    model = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    state = torch.get_rng_state()
    one, again, other = (strength(scene(model, "random", seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    plan = Plan(
        steps=tuple(
            Step(transform="channel_prune", layers=(name,), settings=settings(channels=32, criterion="random", seed=1))
            for name in ("0", "2")
        )
    )
    first, second = apply(model, plan, X).edits
    assert first.kept[0].indices != second.kept[0].indices


def test_weights_that_are_no_numbers_are_refused():
    model = two_layers()
    with torch.no_grad():
        model[0].weight[1, 1] = torch.nan
    with pytest.raises(TransformError, match="infinite or not a number"):
        strength(scene(model, "l2", X.double()))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_criterion_leaves_the_model_and_the_random_state_alone(criterion):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)).train()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    strength(scene(model, criterion))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_strongest_of_each_run_are_taken():
    scores = torch.tensor([9.0, 8, 7, 1, 2, 3])
    assert strongest(scores, 4) == [0, 1, 2, 5]
    assert strongest(scores, 4, blocks=2) == [0, 1, 4, 5]
    assert strongest(torch.zeros(4), 2) == [0, 1]  # ties fall alike
