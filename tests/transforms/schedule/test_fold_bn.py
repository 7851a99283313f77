"""Batch norms folded into the layers next to them: by hand, for every kind of layer, and what is left alone and why.

Those folded into the layer behind them stand in ``test_fold_values``, ``test_fold_neighbours`` and ``test_fold_kept``.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.profiling.calls import run
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.foresee import estimate_plan, foresee
from effwidgets.transforms.schedule.fold_bn import FOLD_BN
from tests.transforms.schedule.conftest import moved


def fold(*layers):
    return Plan(steps=(Step(transform="fold_bn", layers=layers),))


def found(model, x):
    return {site.layers[-1]: site for site in FOLD_BN.sites(profile(model, x))}


def test_one_number_by_hand():
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)).eval()
    with torch.no_grad():
        model[0].weight.fill_(2)
        model[0].bias.fill_(1)
        model[1].weight.fill_(5)
        model[1].bias.fill_(7)
        model[1].running_mean.fill_(3)
        model[1].running_var.fill_(4)
    done = apply(model, fold("0", "1"), torch.ones(1, 1)).model
    # 5 (2 x + 1 - 3) / 2 + 7
    assert (done[0].weight.item(), done[0].bias.item()) == (5.0, 2.0)
    assert type(done[1]) is nn.Identity
    assert type(model[1]) is nn.BatchNorm1d


MAKERS = {
    "conv1d": (nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), (2, 4, 7)),
    "no bias": (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), (2, 4, 5, 5)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, stride=2), nn.BatchNorm2d(4), (2, 4, 5, 5)),
    "circular": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(6), (2, 4, 5, 5)),
    "conv3d": (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 2, 3, 3, 3)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2), nn.BatchNorm2d(6), (2, 4, 5, 5)),
    "transposed in groups": (nn.ConvTranspose1d(4, 6, 3, 2, groups=2, bias=False), nn.BatchNorm1d(6), (2, 4, 5)),
    "linear": (nn.Linear(4, 6), nn.BatchNorm1d(6), (5, 4)),
    "not affine": (nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6, affine=False), (5, 4)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_layer_answers_as_before(name):
    layer, norm, shape = copy.deepcopy(MAKERS[name])
    model = moved(nn.Sequential(layer, norm, nn.Tanh()).double())
    x = torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    known = profile(model, x)
    done = apply(model, fold("0", "1"), x, known=known)
    assert done.skipped == ()
    # Ten roundings of float64 on numbers of order one.
    assert torch.allclose(done.model(x), model(x), rtol=0, atol=1e-13)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in done.model.modules())
    change, said = done.profile.cost - known.cost, FOLD_BN.estimate(known, done.plan.steps[0])
    for field in FOLD_BN.exact:
        assert getattr(said, field) == getattr(change, field), field
    assert change.saved_bytes == -8 * layer.to("meta")(x.to("meta")).numel()  # the norm's input, in float64


@pytest.mark.parametrize(
    "name", ["residual", "inverted_residual", "resnext", "generator", "volume", "normed_perceptron"]
)
def test_no_norm_of_a_whole_model_is_left_and_it_answers_as_before(name):
    model, call = specimen(name).build(), specimen(name).inputs()
    known = profile(model, call)
    sites = [site for site in FOLD_BN.sites(known) if isinstance(site, Site)]
    plan = Plan(steps=tuple(Step(transform="fold_bn", layers=site.layers) for site in sites))
    done = apply(model, plan, call, known=known)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in done.model.modules())
    with torch.no_grad():
        assert torch.allclose(run(done.model, call), run(model, call), rtol=0, atol=1e-5)
    said, is_so = estimate_plan(known, plan), done.profile.cost - known.cost
    assert all(getattr(said, field) == getattr(is_so, field) for field in FOLD_BN.exact)


def shared():
    conv = nn.Conv2d(3, 3, 1)
    return nn.Sequential(conv, nn.BatchNorm2d(3), conv, nn.BatchNorm2d(3))


def frozen():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model[0].requires_grad_(requires_grad=False)
    return model


def tied():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    model[2].weight = model[0].weight
    return model


class Rows(nn.Module):
    """A norm that takes the second of three dimensions, behind a layer that makes the third."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(16, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.fc(x.flatten(2)))


BEHIND = {
    "nothing": (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), "0", "not what one layer returned"),
    "an activation": (nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)), "2", "ReLU 1; a convolution"),
    "no statistics": (
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        "1",
        "keeps no statistics",
    ),
    "shared": (shared(), "1", "the layer is shared"),
    "tied": (tied(), "1", "tied to"),
    "frozen": (frozen(), "1", "0 is frozen"),
    "parametrized": (
        nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3)),
        "1",
        "not a plain parameter",
    ),
    "masked": (
        nn.Sequential(prune.l1_unstructured(nn.Conv2d(3, 3, 1), "weight", 0.5), nn.BatchNorm2d(3)),
        "1",
        "not a plain parameter",
    ),
    "another dimension": (Rows(), "norm", "3 dimensions"),
}


@pytest.mark.parametrize("name", BEHIND)
def test_a_norm_that_is_left_alone_says_why(name):
    model, norm, reason = BEHIND[name]
    skips = {skip.layers[-1]: skip for skip in FOLD_BN.sites(profile(model, torch.ones(2, 3, 4, 4)))}
    assert isinstance(skips[norm], Skip)
    assert reason in skips[norm].reason


def test_the_obstacle_taken_away_the_norm_can_be_folded():
    x = torch.ones(2, 3, 4, 4)
    model = nn.Sequential(prune.l1_unstructured(nn.Conv2d(3, 3, 1), "weight", 0.5), nn.BatchNorm2d(3)).eval()
    prune.remove(model[0], "weight")
    assert isinstance(found(model, x)["1"], Site)
    model = frozen().requires_grad_()
    assert isinstance(found(model, x)["1"], Site)


class TwoReaders(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


def test_a_layer_whose_outputs_are_read_elsewhere_too_is_given_back():
    model = moved(TwoReaders())
    done = apply(model, fold("conv", "norm"), torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert done.edits == ()
    assert "should give" in done.skipped[0].reason
    assert type(done.model.norm) is nn.BatchNorm2d


def test_layers_that_do_not_belong_together_are_refused():
    call = specimen("residual").inputs()
    model = specimen("residual").build()
    with pytest.raises(TransformError, match=r"block1\.bn2 does not take what block1\.conv1 returns"):
        FOLD_BN.estimate(profile(model, call), fold("block1.conv1", "block1.bn2").steps[0])
    assert apply(model, fold("block1.conv1", "block1.bn2"), call).edits == ()
    with pytest.raises(TransformError, match="a layer and the norm behind it"):
        FOLD_BN.estimate(profile(model, call), fold("block1.conv1").steps[0])
    with pytest.raises(UnknownNameError, match="momentum"):
        FOLD_BN.estimate(
            profile(model, call), Step(transform="fold_bn", layers=("a", "b"), settings=settings(momentum=1))
        )


def test_a_norm_is_folded_into_the_last_link_of_a_chain_and_a_folded_layer_is_split():
    model, call = specimen("residual").build(), specimen("residual").inputs()
    known = profile(model, call)
    split = Step(transform="spatial_svd", layers=("block2.conv2",), settings=settings(rank=8))
    folded = Step(transform="fold_bn", layers=("block2.conv2", "block2.bn2"))
    after = Step(transform="fold_bn", layers=("block2.conv2.1", "block2.bn2"))
    for plan in (Plan(steps=(folded, split)), Plan(steps=(split, after))):
        said, is_so = estimate_plan(known, plan), hypothetical(model, plan, call, known=known).cost - known.cost
        assert [getattr(said, field) for field in FOLD_BN.exact] == [getattr(is_so, f) for f in FOLD_BN.exact]
        assert len(apply(model, plan, call, known=known).edits) == 2


def test_the_site_says_that_training_changes():
    site = found(specimen("residual").build(), specimen("residual").inputs())["block1.bn1"]
    assert not site.advised
    assert any("after the last training" in warning for warning in site.warnings)


class ReadTwice(nn.Module):
    """What the convolution returns is normed, and read without that too, in one of several ways."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        made = self.conv(x)
        early = made.sigmoid() if self.way == "before" else 0
        out = self.norm(made) + early
        if self.way == "added":  # a block that norms first, with the plain input beside it
            out = out + made
        return (out, made) if self.way == "returned" else out


@pytest.mark.parametrize("way", ["added", "before", "returned"])
def test_a_layer_that_is_read_without_the_norm_too_is_left_alone(way):
    model, x = moved(ReadTwice(way)), torch.ones(2, 3, 4, 4)
    site = found(model, x)["norm"]
    assert isinstance(site, Skip)
    assert "read elsewhere too" in site.reason
    with pytest.raises(TransformError, match="read elsewhere too"):
        FOLD_BN.estimate(profile(model, x), fold("conv", "norm").steps[0])
    assert isinstance(found(moved(ReadTwice("alone")), x)["norm"], Site)


def test_the_layer_is_foreseen_with_its_new_bias():
    model, x = moved(nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4))), torch.ones(2, 3, 4, 4)
    known = profile(model, x)
    done = apply(model, fold("0", "1"), x, known=known)
    said = foresee(known, fold("0", "1").steps[0])
    assert [layer.config for layer in said.layers] == [layer.config for layer in done.profile.layers]


def test_the_error_is_measured_behind_the_norm_and_is_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    for batch in torch.randn(3, 8, 3, 6, 6):
        model.train()(2 * batch + 1)
    step = Step(transform="fold_bn", layers=("0", "1"))
    x = torch.randn(8, 3, 6, 6)
    error = apply(model.eval(), Plan(steps=(step,)), x, calibration=x).edits[0].error
    # Ten roundings of float32; the convolution itself answers tens of per cent off.
    assert error is not None
    assert error < 1e-6
