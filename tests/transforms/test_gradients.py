"""Which parameters a gradient reaches, read from the graph of one forward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from effwidgets.profiling.calls import Call
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, Specimen
from effwidgets.transforms.gradients import unreached


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


ONE = Call((torch.ones(2, 4),))


def test_all_of_a_plain_model_is_reached_and_nothing_of_it_moves():
    net = Net()
    net.a.weight.grad = torch.ones(4, 4)
    before = state_of(net)
    assert unreached(net, ONE) == {}
    assert before.differences(state_of(net)) == []


def test_what_stands_before_a_detach_or_runs_nowhere_is_not_reached():
    class Cut(Net):
        def __init__(self) -> None:
            super().__init__()
            self.idle = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).detach())

    net = Cut()
    assert unreached(net, ONE) == {name: p for name, p in net.named_parameters() if not name.startswith("b")}


def test_frozen_and_whole_numbers_are_not_asked_for():
    net = Net()
    net.a.requires_grad_(False)
    net.b.bias.requires_grad_(False)
    net.register_parameter("codes", nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False))
    assert unreached(net, ONE) == {}
    net.requires_grad_(False)
    assert unreached(net, ONE) == {}


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_of_either_kind_hides_nothing(reentrant: bool):
    class Kept(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.b(checkpoint(self.a, x.requires_grad_(), use_reentrant=reentrant))

    assert unreached(Kept(), ONE) == {}


def test_a_forward_that_runs_a_backward_of_its_own_is_followed():
    class Force(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                (force,) = torch.autograd.grad(self.b(self.a(x) ** 2).sum(), x, create_graph=True)
            return force

    net = Force()
    assert set(unreached(net, ONE)) == {"b.bias"}  # a constant has no slope


def test_an_output_that_is_a_parameter_is_reached():
    class Itself(Net):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.a(x), self.b.weight

    assert set(unreached(Itself(), ONE)) == {"b.bias"}


@pytest.mark.parametrize("found", MODELS[::3], ids=lambda found: found.name)
def test_it_names_what_autograd_gives_no_gradient(found: Specimen):
    model, call = found.build().eval(), found.inputs()
    output = model(*call.args, **call.kwargs)
    ends = [tensor for tensor in _tensors(output) if tensor.requires_grad]
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    total = sum(tensor.double().nan_to_num().sum() for tensor in ends)
    gradients = torch.autograd.grad(total, list(learning.values()), allow_unused=True) if ends else ()
    right = {name for name, gradient in zip(learning, gradients, strict=bool(ends)) if gradient is None}
    assert set(unreached(model, call)) == (right if ends else set(learning))


def _tensors(value: object) -> list[Tensor]:
    from effwidgets.profiling.calls import tensors_in

    return list(tensors_in(value))
