"""A reversible coupling against the same coupling that keeps everything; and what it leaves as it was."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from effwidgets.transforms.schedule.coupling import ReversibleBlocks


class Block(nn.Module):
    def __init__(self, width, rate=0.3):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(width), nn.Dropout(rate)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(self.drop(torch.tanh(self.up(self.norm(x)))))


def model(blocks=4, *, saving=True):
    torch.manual_seed(0)
    coupled = ReversibleBlocks([Block(8) for _ in range(blocks)], saving=saving)
    return nn.Sequential(nn.Linear(6, 8), coupled, nn.Linear(8, 2)).double().train()


def trained(net, x):
    torch.manual_seed(5)
    out = net(x)
    out.square().sum().backward()
    return out.detach(), [parameter.grad for parameter in net.parameters()] + [x.grad], list(net.buffers())


def inputs(rows=16):
    return torch.randn(rows, 6, dtype=torch.double, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_the_equations_of_the_paper():
    torch.manual_seed(0)
    one, two = Block(8).eval().double(), Block(8).eval().double()
    x = torch.randn(4, 8, dtype=torch.double)
    first = x + (one(x) - x)
    second = x + (two(first) - first)
    with torch.no_grad():
        assert torch.allclose(ReversibleBlocks([one, two])(x), (first + second) / 2, rtol=0, atol=1e-14)


def test_gradients_are_those_of_autograd_with_dropout_and_batch_norm_in_training():
    saved, kept = trained(model(), inputs()), trained(model(saving=False), inputs())
    assert torch.equal(saved[0], kept[0])
    assert len(saved[1]) == 4 * 6 + 5
    # A subtraction for each addition: some ten roundings of float64 on numbers of order one.
    assert all(torch.allclose(one, two, rtol=0, atol=1e-13) for one, two in zip(saved[1], kept[1], strict=True))


def test_running_statistics_move_once_and_the_random_numbers_go_on_as_without_it():
    saved, kept = trained(model(), inputs()), None
    after = torch.rand(3)
    kept = trained(model(saving=False), inputs())
    assert torch.equal(after, torch.rand(3))
    assert len(saved[2]) == 4 * 3
    assert all(torch.equal(one, two) for one, two in zip(saved[2], kept[2], strict=True))
    assert all(norm.momentum == 0.1 for norm in model().modules() if isinstance(norm, nn.BatchNorm1d))


@pytest.mark.parametrize("blocks", [2, 8])
def test_two_tensors_are_kept_however_many_blocks_there_are(blocks):
    net, kept = model(blocks)[1], []
    x = torch.randn(16, 8, dtype=torch.double, requires_grad=True)
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
        net(x)
    assert kept == [16 * 8, 16 * 8]


def test_frozen_blocks_pass_a_gradient_on_and_get_none():
    net, x = model(), inputs()
    net[1].requires_grad_(requires_grad=False)
    net(x).sum().backward()
    assert all(parameter.grad is None for parameter in net[1].parameters())
    assert float(x.grad.abs().sum()) > 0


def test_it_is_copied_and_pickled_and_takes_an_even_number_of_blocks():
    net, x = model().eval(), inputs()
    expected = net(x)
    assert torch.equal(copy.deepcopy(net)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(x), expected)  # noqa: S301
    with pytest.raises(ValueError, match="even number"):
        ReversibleBlocks([nn.Identity()])


def test_what_ran_under_autocast_runs_again_under_it():
    torch.manual_seed(0)
    coupled = ReversibleBlocks([Block(8, 0.0) for _ in range(4)]).eval()
    kept = copy.deepcopy(coupled)
    kept.saving = False
    found = []
    for net in (coupled, kept):
        x = inputs().detach().float().repeat(1, 2)[:, :8].requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(x)
        out.square().sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in net.parameters())])
    for again, once in zip(*found, strict=True):
        # The streams are float32: their inputs come back to some roundings of 6e-8. Run again without autocast, the
        # gradients are 4e-3 apart, a rounding of bfloat16.
        assert float((again - once).norm()) < 1e-4 * float(once.norm())


def test_a_gradient_of_the_gradient_is_refused_and_not_wrong():
    net, x = model(2), inputs()
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
