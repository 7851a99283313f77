"""What is foreseen of a norm that goes into the layer behind it, against a profile of the folded model."""

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Plan, Skip, Step, settings
from effwidgets.search.selection.closing import closed
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.foresee import estimate_plan, foresee
from effwidgets.transforms.schedule.fold_bn import FOLD_BN
from tests.transforms.schedule.conftest import Block, moved, residual


def frozen(model, *names):
    for name in names:
        model.get_submodule(name).requires_grad_(requires_grad=False)
    return model


def picture(*, bias=True):
    """Build a norm between ReLU and a convolution in groups: its input is kept already, by the ReLU."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 6, 3, groups=2, bias=bias),
        nn.ReLU(),
        nn.Conv2d(6, 2, 1),
    )


class Wide(nn.Module):
    """A block whose norm reads what another layer reads too."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.one, self.two = nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        x = self.stem(x)
        return self.one(self.norm(x)) + self.two(x)


ROWS, PICTURES = (7, 5), (2, 3, 6, 6)
MODELS = {
    "residual": (residual, ROWS),
    "half frozen": (lambda: frozen(residual(), "0", "1.widen", "1.bn"), ROWS),
    "frozen stem": (lambda: frozen(residual(), "0"), ROWS),
    "frozen norms": (lambda: frozen(residual(), "1.bn", "2.bn", "3"), ROWS),
    "all frozen": (lambda: residual().requires_grad_(requires_grad=False), ROWS),
    "behind a ReLU": (picture, PICTURES),
    "without a bias": (lambda: picture(bias=False), PICTURES),
    "first layers frozen": (lambda: frozen(picture(), "0"), PICTURES),
    "of the model's input": (lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4), nn.Linear(4, 2)), ROWS),
    "of an input that is flattened": (
        lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(108), nn.Linear(108, 4)),
        PICTURES,
    ),
    "of the model's input, unlearned": (
        lambda: nn.Sequential(nn.BatchNorm1d(5, affine=False), nn.Linear(5, 4, bias=False)),
        ROWS,
    ),
    "a stream that another reads": (Wide, ROWS),
    "double": (lambda: residual().double(), ROWS),
    "bfloat16": (lambda: residual().bfloat16(), ROWS),
}


def numbers(layer):
    """Return what the technique promises of one layer."""
    return {field: getattr(layer.self_cost, field) for field in FOLD_BN.exact}


def one_by_one(known):
    """Yield every fold of a model, and all of them."""
    steps = closed(known, Plan()).steps
    return [Plan(steps=(step,)) for step in steps] + [Plan(steps=steps)] * (len(steps) > 1)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_foreseen_is_what_is_found(name, train):
    build, shape = MODELS[name]
    model, options = moved(build()), ProfileOptions(train=train)
    x = torch.randn(shape, dtype=next(model.parameters()).dtype, generator=torch.Generator().manual_seed(0))
    known = profile(model, x, options=options)
    plans = one_by_one(known)
    assert plans
    for plan in plans:
        done = apply(model, plan, x)
        assert done.skipped == ()
        is_so, said = profile(done.model, x, options=options), known
        for step in plan:
            said = foresee(said, step)
        assert {layer.name: numbers(layer) for layer in said.layers} == {
            layer.name: numbers(layer) for layer in is_so.layers
        }
        plain = [(layer.name, layer.kind, layer.config, layer.tensors) for layer in is_so.layers]
        assert [(layer.name, layer.kind, layer.config, layer.tensors) for layer in said.layers] == plain
        assert said.groups == is_so.groups
        change, cost = estimate_plan(known, plan), is_so.cost - known.cost
        assert all(getattr(change, field) == getattr(cost, field) for field in FOLD_BN.exact)


def test_the_norms_output_is_kept_no_more_and_its_input_is_kept_by_the_layer():
    known = profile(residual(), torch.ones(7, 5))
    change = FOLD_BN.estimate(known, Step(transform="fold_bn", layers=("1.bn", "1.widen")))
    assert change.params == -16  # 8 scales and 8 shifts; the layer has a bias already
    assert change.saved_bytes == -7 * 8 * 4
    assert change.macs == change.backward_macs == 0


def test_behind_the_models_input_no_gradient_of_it_is_computed_any_more():
    build, shape = MODELS["of the model's input"]
    change = FOLD_BN.estimate(profile(build().eval(), torch.ones(shape)), Step(transform="fold_bn", layers=("0", "1")))
    assert change.backward_macs == -7 * 5 * 4
    assert change.saved_bytes == -7 * 5 * 4


def test_steps_before_and_after_a_fold_are_counted_with_it():
    model, x = residual(), torch.randn(7, 5)
    known = profile(model, x)
    folds = closed(known, Plan()).steps
    split = Step(transform="low_rank", layers=("1.widen",), settings=settings(rank=3))
    cut = Step(transform="channel_prune", layers=("1.widen",), settings=settings(channels=9, criterion="l2"))
    stream = Step(transform="channel_prune", layers=("0",), settings=settings(channels=5, criterion="l2"))
    drop = Step(transform="drop_block", layers=("2",))
    for before in (split, cut, stream, drop):
        plan = closed(known, Plan(steps=(before,)))
        assert len(plan) >= 3
        is_so, said = hypothetical(model, plan, x, known=known).cost - known.cost, estimate_plan(known, plan)
        assert [getattr(said, field) for field in FOLD_BN.exact] == [getattr(is_so, f) for f in FOLD_BN.exact]
    for after in (cut, stream):
        plan = Plan(steps=(*folds, after))
        is_so, said = hypothetical(model, plan, x, known=known).cost - known.cost, estimate_plan(known, plan)
        assert [getattr(said, field) for field in FOLD_BN.exact] == [getattr(is_so, f) for f in FOLD_BN.exact]


def test_where_nobody_can_tell_what_learns_before_a_norm_it_stays():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.block = nn.Linear(5, 8), nn.Linear(5, 8), Block()

        def forward(self, x):
            return self.block(self.one(x) + self.two(x))

    model, x = frozen(Mixed(), "one").eval(), torch.ones(7, 5)
    known = profile(model, x)
    (skip,) = FOLD_BN.sites(known)
    assert isinstance(skip, Skip)
    assert "whether anything before it learns" in skip.reason
    with pytest.raises(TransformError, match="whether anything before it learns"):
        FOLD_BN.estimate(known, Step(transform="fold_bn", layers=("block.bn", "block.widen")))
    assert closed(profile(model.requires_grad_(), x), Plan()) != Plan()


def test_a_frozen_layer_whose_norms_input_others_may_keep_is_left_alone():
    model, x = frozen(Wide(), "norm", "one").eval(), torch.ones(7, 5)
    (skip,) = FOLD_BN.sites(profile(model, x))
    assert isinstance(skip, Skip)
    assert "whether something else keeps the norm's input" in skip.reason
