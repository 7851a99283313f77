"""Remove channels from all layers that hold them at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.testing.classic import alexnet_bvlc
from effwidgets.testing.squeezenet import squeezenet1_0
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import estimate_plan
from effwidgets.transforms.prune.channel_prune import CHANNEL_PRUNE
from effwidgets.transforms.prune.criteria import CRITERIA


class Residual(nn.Module):
    """A stem, two blocks on one residual stream, a depthwise convolution in one, a flatten, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.wide, self.wide_norm = nn.Conv2d(12, 20, 1), nn.BatchNorm2d(20)
        self.deep = nn.Conv2d(20, 20, 3, padding=1, groups=20)
        self.back = nn.Conv2d(20, 12, 1)
        self.block = nn.Conv2d(12, 12, 3, padding=1)
        self.head = nn.Linear(12 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.back(torch.relu(self.deep(torch.relu(self.wide_norm(self.wide(x))))))
        x = torch.relu(x + self.block(x))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


class Joined(nn.Module):
    """Two branches that are concatenated, then read together."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 10, 1)
        self.norm = nn.BatchNorm2d(16)
        self.read = nn.Conv2d(16, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(torch.relu(self.norm(torch.cat([self.left(x), self.right(x)], 1))))


def step(group: str, channels: int, criterion: str | None = None) -> Step:
    chosen = {"channels": channels} | ({"criterion": criterion} if criterion else {})
    return Step(transform="channel_prune", layers=(group,), settings=settings(chosen))


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def residual() -> Residual:
    torch.manual_seed(0)
    return Residual()


def test_a_residual_stream_is_cut_in_all_its_layers(residual, image):
    applied = apply(residual, Plan(steps=(step("stem", 5),)), image)
    assert not applied.skipped
    model = applied.model
    assert [model.stem.out_channels, model.norm.num_features, model.wide.in_channels, model.back.out_channels] == [
        5
    ] * 4
    assert (model.block.in_channels, model.block.out_channels, model.head.in_features) == (5, 5, 20)
    assert model.norm.running_mean.shape == (5,)
    assert model(image).shape == (2, 10)


def test_a_depthwise_convolution_follows_its_channels(residual, image):
    applied = apply(residual, Plan(steps=(step("wide", 7),)), image)
    deep = applied.model.deep
    assert (deep.groups, deep.in_channels, deep.out_channels, tuple(deep.weight.shape)) == (7, 7, 7, (7, 1, 3, 3))


@pytest.mark.parametrize("group", ["stem", "wide"])
@pytest.mark.parametrize("criterion", ["l1", "l2", "bn"])
def test_pruning_equals_silencing_the_removed_channels(residual, image, group, criterion):
    with torch.no_grad():
        residual.norm.weight.uniform_(0.5, 2)
        residual.wide_norm.weight.uniform_(0.5, 2)
    applied = apply(residual, Plan(steps=(step(group, 4, criterion),)), image)
    silenced = Residual()
    silenced.load_state_dict(residual.state_dict())
    # By hand, not by the witness: a channel of the stem is read by three layers, one of the wide layer by one.
    readers = {"stem": ("wide", "block", "head"), "wide": ("back",)}[group]
    kept = {(part.layer, part.side): part.indices for part in applied.edits[0].kept}
    with torch.no_grad():
        for name in readers:
            layer = getattr(silenced, name)
            mask = torch.zeros_like(layer.weight)
            mask[:, list(kept[name, "in"])] = 1
            layer.weight.mul_(mask)
    silenced.eval()
    applied.model.eval()
    assert torch.allclose(applied.model(image), silenced(image), atol=1e-5)  # outputs are about 1, float32


def test_the_strongest_channels_stay(image):
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 5, 2, 4, 3, 6])[:, None, None, None].expand(6, 3, 1, 1))
        model[1].weight.copy_(torch.tensor([6.0, -5, 4, 3, 2, 1]))
    for criterion, expected in {"l2": (1, 3, 5), "l1": (1, 3, 5), "bn": (0, 1, 2)}.items():
        edit = apply(model, Plan(steps=(step("0", 3, criterion),)), image).edits[0]
        kept = {(part.layer, part.side): part.indices for part in edit.kept}
        assert kept == {("0", "out"): expected, ("1", "out"): expected, ("3", "in"): expected}


def test_channels_behind_a_concatenation_and_a_flatten_are_found(image):
    torch.manual_seed(0)
    plan = Plan(steps=(step("left", 2), step("right", 3)))
    applied = apply(Joined(), plan, image)
    assert not applied.skipped
    assert applied.model.read.in_channels == 5
    assert applied.model.norm.num_features == 5
    # The second step saw where the first one had moved its channels.
    assert applied.described[0] is not applied.described[1]


def test_pruning_one_group_does_not_cost_the_profile_of_another(residual, image):
    applied = apply(residual, Plan(steps=(step("stem", 6), step("wide", 10))), image)
    assert not applied.skipped
    assert applied.described[0] is applied.described[1]


def test_all_channels_kept_change_nothing(residual, image):
    applied = apply(residual, Plan(steps=(step("stem", 12), step("wide", 20))), image)
    residual.eval()
    applied.model.eval()
    assert torch.equal(applied.model(image), residual(image))


def test_frozen_parameters_stay_frozen(residual, image):
    residual.stem.weight.requires_grad_(False)
    model = apply(residual, Plan(steps=(step("stem", 6),)), image).model
    assert not model.stem.weight.requires_grad
    assert model.block.weight.requires_grad


def test_sites_and_skips_say_why(residual, image):
    found = {place.layers[0]: place for place in CHANNEL_PRUNE.sites(profile(residual, image))}
    assert isinstance(found["stem"], Site)
    assert found["stem"].reason == "12 channels, made by 3 layers and read by 3 layers"
    assert found["stem"].knobs[1].choices == CRITERIA
    assert isinstance(found["head"], Skip)
    assert "output" in found["head"].reason


def test_channels_that_are_normalised_together_stay(image):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1))
    (first, _) = CHANNEL_PRUNE.sites(profile(model, image))
    assert isinstance(first, Skip)
    assert "several channels together" in first.reason


def test_what_cannot_be_done_is_said(residual, image):
    known = profile(residual, image)
    with pytest.raises(UnknownNameError, match="group of channels 'back'"):
        CHANNEL_PRUNE.estimate(known, step("back", 3))
    with pytest.raises(TransformError, match=r"channels is 13; .* from 1 to 12"):
        CHANNEL_PRUNE.estimate(known, step("stem", 13))
    plan = Plan(steps=(step("head", 3), step("stem", 3, "magic")))
    applied = apply(residual, plan, image)
    assert "output" in applied.skipped[0].reason
    assert "no criterion of channel_prune 'magic'" in applied.skipped[1].reason
    no_norm = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1))
    assert "needs a batch norm" in apply(no_norm, Plan(steps=(step("0", 3, "bn"),)), image).skipped[0].reason


class Grouped(nn.Module):
    """A convolution in four groups between two whole ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = (
            nn.Conv2d(3, 16, 1),
            nn.Conv2d(16, 24, 3, groups=4),
            nn.Conv2d(24, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.middle(torch.relu(self.first(x)))))


def test_a_convolution_in_groups_keeps_the_strongest_of_each_group(image):
    torch.manual_seed(0)
    model = Grouped()
    with torch.no_grad():  # in each run of four another one is the strongest
        for channel in (1, 6, 8, 15):
            model.first.weight[channel] = 10
    plan = Plan(steps=(step("first", 4), step("middle", 12)))
    applied = apply(model, plan, image)
    assert not applied.skipped
    kept = {(part.layer, part.side): part.indices for part in applied.edits[0].kept}
    assert kept["first", "out"] == kept["middle", "in"] == (1, 6, 8, 15)
    cut = applied.model.middle
    assert (cut.in_channels, cut.out_channels, cut.groups, tuple(cut.weight.shape)) == (4, 12, 4, (12, 1, 3, 3))


def test_a_width_that_the_groups_cannot_share_is_answered_with_the_nearest(image):
    known = profile(Grouped(), image)
    for channels, wanted in ((6, "4 or 8"), (3, "4"), (15, "12 or 16")):
        with pytest.raises(TransformError, match=rf"channels is {channels}; .* 4 equal runs.*: {wanted} was expected"):
            CHANNEL_PRUNE.estimate(known, step("first", channels))
    (site, *_) = CHANNEL_PRUNE.sites(known)
    assert (site.knobs[0].low, site.knobs[0].multiple) == (4, 4)


class Attention(nn.Module):
    """As vision libraries write it: a fused projection, the width of a head stated, the number of heads an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = 4, 6
        self.qkv, self.proj = nn.Linear(10, 3 * 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, self.num_heads * self.head_dim))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.head = Attention(), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.attn(x))


def test_whole_heads_go_and_the_numbers_that_count_them_follow():
    torch.manual_seed(0)
    model, x = Model(), torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.attn.qkv.weight.view(3, 4, 6, 10)[:, [0, 3]] *= 5
    known = profile(model, x)
    (group,) = (group for group in known.groups if group.kind == "heads")
    asked = step(group.name, 2)
    applied = apply(model, Plan(steps=(asked,)), x)
    assert not applied.skipped
    cut = applied.model.attn
    assert (cut.num_heads, cut.qkv.out_features, cut.proj.in_features) == (2, 36, 12)
    assert model.attn.num_heads == 4
    kept = {(part.layer, part.side): part.indices for part in applied.edits[0].kept}
    assert kept["attn.proj", "in"] == (*range(6), *range(18, 24))
    # By hand: the other two heads read by zeros.
    with torch.no_grad():
        model.attn.proj.weight[:, 6:18] = 0
    assert torch.allclose(applied.model(x), model(x), atol=1e-5)
    said, change = CHANNEL_PRUNE.estimate(known, asked), applied.profile.cost - known.cost
    for name in CHANNEL_PRUNE.exact:
        assert getattr(said, name) == getattr(change, name), name
    assert any("num_heads=4" in piece.text for piece in applied.edits[0].before)
    assert any("num_heads=2" in piece.text for piece in applied.edits[0].after)


class TwoAttentions(nn.Module):
    """Two attentions in one forward, with heads of their own."""

    def __init__(self) -> None:
        super().__init__()
        for name in "ab":
            self.add_module(f"qkv_{name}", nn.Linear(8, 24))
            self.add_module(f"proj_{name}", nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        for qkv, proj in ((self.qkv_a, self.proj_a), (self.qkv_b, self.proj_b)):
            parts = qkv(x).unflatten(-1, (3, -1, 4)).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(*parts.unbind(0))
            x = x + proj(mixed.transpose(1, 2).flatten(2))
        return x


def test_heads_whose_products_cannot_be_told_apart_stay():
    torch.manual_seed(0)
    known = profile(TwoAttentions(), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)))
    heads = [place for place in CHANNEL_PRUNE.sites(known) if place.layers[0].startswith("qkv")]
    assert len(heads) == 2
    assert all(isinstance(place, Skip) for place in heads)


@pytest.mark.parametrize("build", [squeezenet1_0, alexnet_bvlc])
def test_published_networks_are_pruned_as_estimated(build):
    """Half of everything that may go, of three groups of each: every edit is checked against the silenced original."""
    torch.manual_seed(0)
    model = build().eval()
    x = torch.randn(1, 3, 96 if build is squeezenet1_0 else 227, 96 if build is squeezenet1_0 else 227)
    known = profile(model, x)
    places = [place for place in CHANNEL_PRUNE.sites(known) if isinstance(place, Site)]
    plan = Plan(steps=tuple(step(place.layers[0], int(place.knobs[0].high) // 2) for place in places[:3]))
    applied = apply(model, plan, x, known=known)
    assert len(applied.edits) == 3
    said, change = estimate_plan(known, plan), applied.profile.cost - known.cost
    for name in CHANNEL_PRUNE.exact:
        assert getattr(said, name) == getattr(change, name), name
