"""Norms folded into the layer behind them, against the definition of a norm written out by channels in float64."""

import copy

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from effwidgets import load, replay, save, undo
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Step
from effwidgets.transforms.apply import apply
from effwidgets.transforms.schedule.fold_bn import FOLD_BN
from effwidgets.transforms.schedule.fold_values import pads_zeros
from tests.transforms.schedule.conftest import moved, residual

ACROSS = Plan(steps=(Step(transform="fold_bn", layers=("0", "1")),))
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def normed(norm, x):
    """Say what a norm gives, channel after channel, by its formula and not by torch."""
    gamma = norm.weight if norm.affine else torch.ones(norm.num_features)
    beta = norm.bias if norm.affine else torch.zeros(norm.num_features)
    out = torch.empty_like(x)
    for channel in range(norm.num_features):
        deviation = (norm.running_var[channel] + norm.eps) ** 0.5
        out[:, channel] = gamma[channel] * (x[:, channel] - norm.running_mean[channel]) / deviation + beta[channel]
    return out.detach()


def folded(model, x, plan=ACROSS):
    done = apply(model, plan, x)
    assert done.skipped == ()
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in done.model.modules())
    return done


def test_one_number_by_hand():
    model = nn.Sequential(nn.BatchNorm1d(1, eps=0.0), nn.Linear(1, 1)).eval()
    with torch.no_grad():
        for tensor, value in (
            (model[0].weight, 5),
            (model[0].bias, 7),
            (model[0].running_mean, 3),
            (model[0].running_var, 4),
            (model[1].weight, 2),
            (model[1].bias, 1),
        ):
            tensor.fill_(value)
    done = folded(model, torch.ones(1, 1)).model
    # 2 (5 (x - 3) / 2 + 7) + 1
    assert (done[1].weight.item(), done[1].bias.item()) == (5.0, 0.0)
    assert type(done[0]) is nn.Identity
    assert type(model[0]) is nn.BatchNorm1d


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    into=st.integers(1, 6),
    out=st.integers(1, 6),
    batch=st.integers(1, 4),
    bias=st.booleans(),
    affine=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_linear_layer_answers_as_behind_the_norm(into, out, batch, bias, affine, seed):
    torch.manual_seed(seed)
    model = moved(nn.Sequential(nn.BatchNorm1d(into, affine=affine), nn.Linear(into, out, bias=bias)).double(), seed)
    x = 3 * torch.randn(batch, into, dtype=torch.double) + 1
    right = normed(model[0], x) @ model[1].weight.T + (model[1].bias if bias else 0)
    # Some ten roundings of float64 on numbers up to about a hundred.
    torch.testing.assert_close(folded(model, x).model(x), right, rtol=1e-11, atol=1e-11)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    dims=st.integers(1, 3),
    groups=st.integers(1, 3),
    each=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    padding=st.sampled_from([0, "valid", "circular", "reflect", "replicate"]),
    seed=st.integers(0, 2**16),
)
def test_any_convolution_that_pads_no_zeros_answers_as_behind_the_norm(
    dims, groups, each, kernel, stride, dilation, bias, padding, seed
):
    torch.manual_seed(seed)
    mode = padding if padding in ("circular", "reflect", "replicate") else "zeros"
    into, out = (groups * one for one in each)
    layer = CONVOLUTIONS[dims - 1](
        into,
        out,
        kernel,
        stride=stride,
        dilation=dilation,
        groups=groups,
        bias=bias,
        padding=padding if mode == "zeros" else 1,
        padding_mode=mode,
    )
    model = moved(nn.Sequential(NORMS[dims - 1](into), layer).double(), seed)
    x = 3 * torch.randn(2, into, *(6, 5, 6)[:dims], dtype=torch.double) + 1
    with torch.no_grad():
        right = model[1](normed(model[0], x))
    torch.testing.assert_close(folded(model, x).model(x), right, rtol=1e-11, atol=1e-11)  # as above, more of them


def test_a_depthwise_convolution_by_hand():
    model = moved(nn.Sequential(nn.BatchNorm1d(3), nn.Conv1d(3, 6, 2, groups=3, bias=False)).double())
    norm, layer = copy.deepcopy(model)
    done = folded(model, torch.ones(1, 3, 4, dtype=torch.double)).model[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    for row in range(6):  # two rows for each channel
        torch.testing.assert_close(done.weight[row, 0], layer.weight[row, 0] * scale[row // 2])
        torch.testing.assert_close(done.bias[row], layer.weight[row, 0].sum() * shift[row // 2])


def test_zeros_around_the_input_would_be_normed_too_so_that_other_modes_alone_may_pad():
    assert pads_zeros(1, "zeros", 3)
    assert pads_zeros((0, 1), "zeros", (3, 3))
    assert not pads_zeros((0, 0), "zeros", (3, 3))
    assert pads_zeros("same", "zeros", (1, 3))
    assert not pads_zeros("same", "zeros", (1, 1))
    assert not pads_zeros((1, 1), "reflect", (3, 3))


def whole_plan(model, x):
    sites = [site for site in FOLD_BN.sites(profile(model, x)) if isinstance(site, Site)]
    return Plan(steps=tuple(Step(transform="fold_bn", layers=site.layers) for site in sites))


def test_a_residual_perceptron_keeps_no_norm_and_answers_as_before():
    model, x = residual(), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    plan = whole_plan(model, x)
    assert [step.layers for step in plan] == [("1.bn", "1.widen"), ("2.bn", "2.widen"), ("3", "4")]
    torch.testing.assert_close(folded(model, x, plan).model(x), model(x), rtol=1e-5, atol=1e-5)  # float32


def test_a_norm_on_either_side_of_one_layer_goes_into_it_in_any_order():
    torch.manual_seed(0)
    model = moved(nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)).double())
    x = torch.randn(2, 4, 5, 5, dtype=torch.double)
    plan = whole_plan(model, x)
    assert [step.layers for step in plan] == [("0", "1"), ("1", "2")]
    for steps in (plan.steps, plan.steps[::-1]):
        torch.testing.assert_close(folded(model, x, Plan(steps=steps)).model(x), model(x), rtol=1e-11, atol=1e-11)


def test_a_recipe_loads_a_replay_folds_another_models_numbers_and_undo_gives_the_norm_back(tmp_path):
    model, x = residual(), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    done = folded(model, x, whole_plan(model, x))
    loaded = load(save(done, tmp_path / "recipe"), residual)
    assert torch.equal(loaded.eval()(x), done.model(x))
    other = moved(residual(), seed=7)
    again = replay(tmp_path / "recipe", other, x)
    assert again.skipped == ()
    torch.testing.assert_close(again.model(x), other(x), rtol=1e-5, atol=1e-5)  # float32
    back = undo(done, done.edits[-1].step)
    assert type(back.model[3]) is nn.BatchNorm1d
    assert torch.equal(back.model[4].weight, model[4].weight)


def test_what_is_folded_goes_on_learning():
    model, x = residual(), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    made = folded(model, x, whole_plan(model, x)).model.train()
    made(x).square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
