"""Where the outputs of a layer go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from effwidgets.transforms.repair.following import Follower, Passing


class Net(nn.Module):
    """Two layers, a batch norm, and a forward that is handed in."""

    def __init__(self, way: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.norm, self.way = nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3), way

    def forward(self, value: Tensor) -> Tensor:
        """Go the way."""
        return self.way(self, value)


def followed(way: Callable[[Net, Tensor], Tensor]) -> tuple[dict[str, Passing[None]], list[str], Follower[None]]:
    net, found, arrived = Net(way).eval(), {}, []
    follower: Follower[None] = Follower(
        {"one": net.one, "two": net.two},
        lambda passing, _value, _output: found.__setitem__(passing.key, passing),
        lambda passing, tensor: arrived.append(f"{passing.key} {tuple(tensor.shape)}"),
    )
    with torch.no_grad(), follower.on(net):
        net(torch.randn(4, 3))
    assert not any(module._forward_hooks for module in net.modules())
    return found, arrived, follower


WAYS = {
    "alone": (lambda net, x: net.one(x).relu(), None, False),
    "batch norm": (lambda net, x: net.norm(net.one(x)).relu(), "norm", False),
    "sum": (lambda net, x: net.one(x) + x, None, True),
    "sum in place": (lambda net, x: x.clone().add_(net.norm(net.one(x))), "norm", True),
    "sum into it in place": (lambda net, x: net.norm(net.one(x)).add_(x), "norm", True),
    "dropout that does nothing": (lambda net, x: nn.functional.dropout(net.one(x), training=False) + x, None, True),
    "an activation between": (lambda net, x: net.one(x).relu() + x, None, False),
    "an activation in place between": (lambda net, x: net.one(x).relu_() + x, None, False),
    "a number added": (lambda net, x: net.one(x) + 1, None, False),
    "a vector spread over rows": (lambda net, x: net.one(x) + x[0], None, False),
    "half of another": (lambda net, x: torch.add(net.one(x), x, alpha=0.5), None, False),
    "itself": (lambda net, x: (y := net.one(x)) + y, None, False),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_sum_is_seen_where_a_branch_alone_goes_into_it(way):
    forward, norm, summed = WAYS[way]
    found, arrived, _ = followed(forward)
    assert (found["one"].norm, found["one"].summed) == (norm, summed)
    assert arrived == ["one (4, 3)"] * summed


def test_two_that_go_into_one_sum_know_each_other():
    found, _, follower = followed(lambda net, x: net.norm(net.one(x)) + net.two(net.norm(x)))
    assert found["one"].others == {"two"}
    assert found["two"].others == {"one"}
    assert follower.norms == {"norm": 2}
