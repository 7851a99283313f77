"""Which norms go into the layer behind them, which into the one before, and why others stay."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.search.advice.words import headline
from effwidgets.search.selection.closing import closed, opened
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import foresee
from effwidgets.transforms.schedule.fold_bn import FOLD_BN
from tests.transforms.schedule.conftest import moved, residual


def found(model, x):
    return {site.layers: site for site in FOLD_BN.sites(profile(model, x))}


def fold(*layers):
    return Step(transform="fold_bn", layers=layers)


class Read(nn.Module):
    """A norm at the model's input, and a layer that reads it in one of several ways."""

    def __init__(self, way, width=4):
        super().__init__()
        self.way, self.norm, self.layer = way, nn.BatchNorm1d(width), nn.Linear(width, 4)

    def forward(self, x):
        y = self.norm(x)
        if self.way == "norm twice":
            y = self.norm(y)
        if self.way == "view":
            y = y.view(2, -1, 4)
        if self.way == "activation":
            y = torch.relu(y)
        out = self.layer(y)
        if self.way == "layer twice":
            out = self.layer(out)
        if self.way == "added":
            out = out + y
        return (out, y) if self.way == "returned" else out


class TwoReaders(Read):
    def __init__(self):
        super().__init__("")
        self.other = nn.Linear(4, 4)

    def forward(self, x):
        y = self.norm(x)
        return self.layer(y) + self.other(y)


class Tied(Read):
    def __init__(self):
        super().__init__("")
        self.other = nn.Linear(4, 4)
        self.other.weight = self.layer.weight

    def forward(self, x):
        return self.other(super().forward(x))


def masked():
    return prune.l1_unstructured(nn.Linear(4, 3), "weight", 0.5)


def frozen(*modules):
    for module in modules:
        module.requires_grad_(requires_grad=False)
    return nn.Sequential(*modules)


class Cast(nn.Sequential):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


FLAT, ROW, PICTURE = (4, 4), (2, 4, 4), (2, 4, 5, 5)
LEFT = {
    "an activation": (nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)), FLAT, "behind it is ReLU 1"),
    "a function": (Read("activation"), FLAT, "something stands between"),
    "a view": (Read("view"), FLAT, "in another shape"),
    "added": (Read("added"), FLAT, "read elsewhere too"),
    "returned": (Read("returned"), FLAT, "read elsewhere too"),
    "two readers": (TwoReaders(), FLAT, "read elsewhere too"),
    "norm twice": (Read("norm twice"), FLAT, "ran 2 times"),
    "layer twice": (Read("layer twice"), FLAT, "the layer is shared"),
    "tied": (Tied(), FLAT, "the weight of layer is tied to other"),
    "the last": (nn.Sequential(nn.BatchNorm1d(4)), FLAT, "it is the model's output"),
    "no statistics": (nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)), FLAT, "statistics"),
    "parametrized": (
        nn.Sequential(nn.BatchNorm1d(4), parametrizations.weight_norm(nn.Linear(4, 3))),
        FLAT,
        "not a plain parameter",
    ),
    "masked": (nn.Sequential(nn.BatchNorm1d(4), masked()), FLAT, "not a plain parameter"),
    "frozen": (nn.Sequential(nn.BatchNorm1d(4), *frozen(nn.Linear(4, 3))), FLAT, "1 is frozen"),
    "rows": (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), ROW, "second of 3 dimensions, and 1 reads along the"),
    "one picture": (nn.Sequential(nn.BatchNorm1d(4), nn.Conv1d(4, 3, 1)), FLAT, "1 reads along the first"),
    "padded": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1)), PICTURE, "pads with zeros"),
    "same": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding="same")), PICTURE, "pads with zeros"),
    "one side": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=(0, 1))), PICTURE, "pads with zeros"),
    "transposed": (nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 1)), PICTURE, "is transposed"),
    "autocast": (Cast(nn.BatchNorm1d(4), nn.Linear(4, 3)), FLAT, "autocast"),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_norm_that_is_left_alone_says_why(name):
    model, shape, reason = LEFT[name]
    skips = list(FOLD_BN.sites(profile(model.eval(), torch.ones(shape))))
    assert [type(skip) for skip in skips] == [Skip]
    assert reason in skips[0].reason


@pytest.mark.parametrize("name", ["rows", "padded", "transposed", "frozen", "tied", "two readers"])
def test_a_step_that_cannot_be_is_refused_for_the_same_reason(name):
    model, shape, reason = LEFT[name]
    names = ("norm", "layer") if isinstance(model, Read) else ("0", "1")
    with pytest.raises(TransformError, match=reason):
        FOLD_BN.estimate(profile(model.eval(), torch.ones(shape)), fold(*names))


REFUSED = {
    "padded": "pads with zeros",
    "transposed": "that is not transposed",
    "no statistics": "keeps no statistics",
    "parametrized": "",
    "tied": "tied",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_is_looked_at_again_when_the_step_is_done(name):
    # The norm is a fresh one, whose shift is zero: the answers alone would not tell.
    model, shape, _ = LEFT[name]
    names = ("norm", "layer") if isinstance(model, Read) else ("0", "1")
    done = apply(model.eval(), Plan(steps=(fold(*names),)), torch.randn(shape))
    assert done.edits == ()
    assert REFUSED[name] in done.skipped[0].reason


def test_a_norm_with_hooks_stays():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    model[0].register_forward_hook(lambda *_: None)
    done = apply(model, Plan(steps=(fold("0", "1"),)), torch.ones(2, 4))
    assert "hooks" in done.skipped[0].reason


def test_dimensions_of_one_size_that_change_places_are_given_back():
    class Turned(Read):
        def forward(self, x):
            return self.layer(self.norm(x).t())

    done = apply(moved(Turned("")), Plan(steps=(fold("norm", "layer"),)), torch.randn(4, 4))
    assert done.edits == ()
    assert "should give" in done.skipped[0].reason


def test_an_input_that_is_written_into_before_the_layer_reads_it_is_given_back():
    class Written(Read):
        def forward(self, x):
            x = x + 1
            y = self.norm(x)
            x.mul_(2)
            return self.layer(y) + x

    model, x = moved(Written("")).requires_grad_(requires_grad=False), torch.randn(4, 4)
    done = apply(model, Plan(steps=(fold("norm", "layer"),)), x)
    assert done.edits == ()
    assert torch.equal(done.model(x), model(x))


def test_the_layer_before_has_precedence_and_the_one_behind_is_named_behind():
    x = torch.ones(2, 4, 5, 5)
    both = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)).eval()
    assert list(found(both, x)) == [("0", "1")]
    both[0].requires_grad_(requires_grad=False)  # then the norm would be frozen too
    sites = found(both, x)
    assert list(sites) == [("1", "2")]
    assert "becomes part of Conv2d 2 behind it" in sites["1", "2"].reason
    # What a step names is done, also where the other side is offered.
    both[0].requires_grad_(requires_grad=True)
    done = apply(moved(both), Plan(steps=(fold("1", "2"),)), x)
    assert [type(module) for module in done.model] == [nn.Conv2d, nn.Identity, nn.Conv2d]
    torch.testing.assert_close(done.model(x), both(x), rtol=1e-5, atol=1e-5)  # float32


def test_layers_that_do_not_follow_one_another_are_refused():
    known = profile(residual(), torch.ones(2, 5))
    with pytest.raises(TransformError, match=r"2\.widen does not take what 1\.bn returns"):
        FOLD_BN.estimate(known, fold("1.bn", "2.widen"))
    with pytest.raises(TransformError, match=r"1\.bn does not take what 1\.widen returns"):
        FOLD_BN.estimate(known, fold("1.widen", "1.bn"))


def test_a_plan_is_closed_with_the_norms_behind_which_a_layer_stands():
    known = profile(residual(), torch.ones(2, 5))
    split = Step(transform="low_rank", layers=("1.widen",), settings=settings(rank=3))
    plan = closed(known, Plan(steps=(split,)))
    assert [step.layers for step in plan.steps[1:]] == [("1.bn", "1.widen.0"), ("2.bn", "2.widen"), ("3", "4")]
    assert opened(plan) == Plan(steps=(split,))
    made = apply(residual(), plan, torch.randn(3, 5), known=known)
    assert made.skipped == ()
    assert not any(isinstance(part, nn.BatchNorm1d) for part in made.model.modules())
    assert closed(known, plan) == plan


def test_a_headline_tells_what_goes_where():
    known = profile(residual(), torch.ones(2, 5))
    assert headline(known, fold("1.bn", "1.widen")) == "Fold 1.bn into 1.widen"
    x, model = torch.ones(2, 3, 5, 5), nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    assert headline(profile(model, x), fold("0", "1")) == "Fold 1 into 0"


def test_a_norm_that_was_folded_is_offered_no_more():
    known = profile(residual(), torch.ones(2, 5))
    left = [site.layers for site in FOLD_BN.sites(foresee(known, fold("1.bn", "1.widen"))) if isinstance(site, Site)]
    assert left == [("2.bn", "2.widen"), ("3", "4")]
