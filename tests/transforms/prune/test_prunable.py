"""Which groups may be pruned, and the reasons why others may not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.profiling.profile import profile
from effwidgets.records import Group, Member, Plan, Profile, Site, Skip, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.prune.channel_prune import CHANNEL_PRUNE
from effwidgets.transforms.prune.prunable import channels_asked, group_asked, obstacle_of

GROUP = Group(
    name="a", channels=8, members=(Member(layer="a", side="out"), Member(layer="b", side="in")), obstacle=None
)


def step(*layers: str, **values: object) -> Step:
    return Step(transform="channel_prune", layers=layers, settings=settings(values))


def known(model: nn.Module) -> Profile:
    return profile(model, torch.ones(2, 4))


def reason(model: nn.Module) -> str:
    """Why the first group of a model is left alone; its own obstacle taken away, so that ours is heard."""
    found = known(model)
    first = next(group for group in found.groups if any(member.side == "in" for member in group.members))
    group = replace(first, obstacle=None)
    return str(obstacle_of(group, {layer.name: layer for layer in found.layers}))


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def test_an_obstacle_is_named_with_what_removes_it():
    model = plain()
    assert reason(model) == "None"
    prune.l1_unstructured(model[0], "weight", 0.5)
    found = known(model)
    group = replace(GROUP, members=(Member(layer="0", side="out"), Member(layer="2", side="in")))
    masked = obstacle_of(group, {layer.name: layer for layer in found.layers})
    assert masked == "the weight of 0 is masked; make it plain first (torch.nn.utils.prune.remove)"
    prune.remove(model[0], "weight")
    assert reason(model) == "None"


def test_a_parametrized_weight_says_so():
    model = plain()
    nn.utils.parametrizations.weight_norm(model[2])
    layers = {layer.name: layer for layer in known(model).layers}
    group = replace(GROUP, members=(Member(layer="0", side="out"), Member(layer="2", side="in")))
    assert obstacle_of(group, layers) == "the weight of 2 is parametrized; remove the parametrization first"
    nn.utils.parametrize.remove_parametrizations(model[2], "weight")
    assert obstacle_of(group, {layer.name: layer for layer in known(model).layers}) is None


def test_groups_with_nothing_to_remove_or_nobody_who_reads_stay():
    layers = {layer.name: layer for layer in known(plain()).layers}
    own = (Member(layer="0", side="out"),)
    assert obstacle_of(replace(GROUP, channels=1), layers) == "there is only one channel"
    assert obstacle_of(replace(GROUP, channels=1, kind="heads"), layers) == "there is only one head"
    assert "only one channel" in str(obstacle_of(replace(GROUP, blocks=8), layers))
    assert obstacle_of(replace(GROUP, members=own), layers) == "nothing reads these channels"
    assert obstacle_of(GROUP, layers) == "a is not in the profile"


def test_what_is_asked_for_is_checked():
    found = known(plain())
    assert group_asked(found, step("0")).name == "0"
    with pytest.raises(TransformError, match="takes the name of one group, 2 came"):
        group_asked(found, step("0", "2"))
    with pytest.raises(UnknownNameError, match="group of channels '1'"):
        group_asked(found, step("1"))
    with pytest.raises(TransformError, match="output"):
        group_asked(found, step("2"))
    for wrong in (0, 9, 2.5, True, "4"):
        with pytest.raises(TransformError, match="a whole number from 1 to 8"):
            channels_asked(step("a", channels=wrong), GROUP)
    with pytest.raises(UnknownNameError, match="criterion of channel_prune 'magic'"):
        channels_asked(step("a", channels=4, criterion="magic"), GROUP)
    with pytest.raises(UnknownNameError, match="setting of channel_prune 'rank'"):
        channels_asked(step("a", channels=4, rank=4), GROUP)
    assert channels_asked(step("a", channels=4, criterion="random", seed=3), GROUP) == 4


@pytest.mark.parametrize(("channels", "near"), [(5, "4 or 6"), (1, "2"), (7, "6 or 8")])
def test_the_nearest_widths_of_a_group_in_runs_are_named(channels, near):
    with pytest.raises(TransformError, match=f"{near} was expected"):
        channels_asked(step("a", channels=channels), replace(GROUP, blocks=2))


def test_all_the_channels_are_refused_unless_they_are_asked_for_all_the_same():
    with pytest.raises(TransformError, match=r"channels 8 saves nothing: .* at most 7"):
        channels_asked(step("a", channels=8), GROUP)
    assert channels_asked(step("a", channels=8, anyway=True), GROUP) == 8


class Either(nn.Module):
    """Its numbers decide which of two layers runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take the left or the right way."""
        y = self.first(x)
        return torch.as_tensor(self.left(y) if y.sum() > 0 else self.right(y))


def test_a_forward_that_chooses_by_values_leaves_each_layer_alone_with_the_reason():
    found = known(Either())
    skips = [skip for skip in CHANNEL_PRUNE.sites(found) if isinstance(skip, Skip)]
    assert [skip.layers for skip in skips] == [("first",), ("left",), ("right",)]
    assert all("the forward asks for values" in skip.reason for skip in skips)
    with pytest.raises(TransformError, match="the forward asks for values"):
        group_asked(found, step("first", channels=2))


class Lent(nn.Module):
    """Reads the weight of a layer without running it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Go through both."""
        return torch.as_tensor(self.last(nn.functional.linear(x, self.first.weight)))


def test_a_layer_that_is_only_read_from_outside_is_a_skip_beside_the_groups():
    reasons = {skip.layers: skip.reason for skip in CHANNEL_PRUNE.sites(known(Lent())) if isinstance(skip, Skip)}
    assert "did not run as a layer" in reasons["first",]
    assert ("last",) in reasons


def test_a_transposed_convolution_that_makes_several_of_each_channel_stays():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 8, 2, 2, groups=4), nn.Conv2d(8, 2, 1))
    found = profile(model, torch.ones(1, 3, 4, 4))
    reasons = {skip.layers: skip.reason for skip in CHANNEL_PRUNE.sites(found) if isinstance(skip, Skip)}
    assert reasons["0",] == "1, a ConvTranspose2d, mixes the channels or cannot be cut"


def test_every_group_is_a_site_or_a_skip():
    found = known(plain())
    places = list(CHANNEL_PRUNE.sites(found))
    assert [place.layers[0] for place in places] == [group.name for group in found.groups]
    assert isinstance(places[-1], Skip)


class Beside(nn.Module):
    """Attention at the root, and a product of activations that is none of its business."""

    def __init__(self, gram: nn.Module) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.gram = gram

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (layer(x).view(2, 5, -1, 4).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, -1)
        out: torch.Tensor = self.o(mixed) + self.gram(x)
        return out


class Gram(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ x.transpose(1, 2)).mean()


def test_heads_beside_another_product_are_left_alone_because_their_share_cannot_be_told() -> None:
    x = torch.ones(2, 5, 16)
    found = {
        name: [one for one in TRANSFORMS["channel_prune"].sites(profile(Beside(gram), x)) if "q" in one.layers]
        for name, gram in (("alone", nn.Identity()), ("beside", Gram()))
    }
    assert isinstance(found["alone"][0], Site)
    assert "both multiply activations" in found["beside"][0].reason


def test_one_head_is_not_left_unless_it_is_asked_for_twice() -> None:
    model, x = Beside(nn.Identity()), torch.ones(2, 5, 16)
    found = profile(model, x)
    for heads, said in ((2, None), (1, "Keep 2, or set anyway=True")):
        wanted = Step(transform="channel_prune", layers=("q",), settings=settings(channels=heads))
        done = apply(model, Plan(steps=(wanted,)), x, known=found)
        assert [said in skip.reason for skip in done.skipped if said] == ([True] if said else [])
        if said is None:
            estimate = TRANSFORMS["channel_prune"].estimate(found, wanted)
            assert estimate.saved_bytes == (done.profile.cost - found.cost).saved_bytes
            assert estimate.macs == (done.profile.cost - found.cost).macs
