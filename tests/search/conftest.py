"""A small trained network, its data, and plans for it; trained once, so that errors and scores mean something."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from effwidgets.records import Plan, Step, settings
from effwidgets.search import ladder, suggest


def low_rank(layer: str, rank: int) -> Plan:
    return Plan(steps=(Step(transform="low_rank", layers=(layer,), settings=settings(rank=rank)),))


PLANS = (low_rank("2", 6), low_rank("0", 4), low_rank("2", 2), low_rank("0", 2), low_rank("2", 1) + low_rank("0", 1))


@pytest.fixture(scope="session")
def _trained():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(256, 12, generator=generator)
    y = (x @ torch.randn(12, 4, generator=generator)).argmax(1)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4))
    torch.set_rng_state(state)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), x, y


@pytest.fixture
def model(_trained):
    return copy.deepcopy(_trained[0])


@pytest.fixture
def x(_trained):
    return _trained[1]


@pytest.fixture
def accuracy(_trained):
    _, x, y = _trained

    def measure(candidate):
        with torch.no_grad():
            return (candidate(x).argmax(1) == y).double().mean().item()

    return measure


@pytest.fixture(scope="session")
def _network():
    state = torch.get_rng_state()
    torch.manual_seed(1)
    network = Residual()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(32, 3, 8, 8))
    torch.set_rng_state(state)
    return network.eval()


@pytest.fixture
def convolutional(_network):
    """A residual network with batch norm, untrained but with statistics that fit its data."""
    return copy.deepcopy(_network)


@pytest.fixture(scope="session")
def images():
    return torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="session")
def advice(_network, images):
    """What is suggested for the residual network, found once."""
    return suggest(_network, images)


@pytest.fixture(scope="session")
def plans(_network, images):
    """The ladder of the residual network, laid once."""
    return ladder(_network, images)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1, bias=False)
        self.bn0 = nn.BatchNorm2d(12)
        self.conv1 = nn.Conv2d(12, 24, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 12, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        x = torch.relu(self.bn0(self.stem(x)))
        x = torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def fingerprint(model):
    """Everything of a model that must not change: values, gradients, flags, hooks, names."""
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    rest = [
        (name, module.training, len(module._forward_hooks), len(module._forward_pre_hooks), type(module))
        for name, module in model.named_modules()
    ]
    grads = [(name, parameter.requires_grad, parameter.grad is None) for name, parameter in model.named_parameters()]
    return tensors, rest, grads


def same(before, after):
    return before[1:] == after[1:] and all(torch.equal(before[0][name], after[0][name]) for name in before[0])
