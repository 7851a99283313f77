"""The width of a transformer: norms over all channels, and parameters of modules' own beside the layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.testing.contracts import TransformContract
from effwidgets.transforms.apply import apply
from effwidgets.transforms.foresee import estimate_plan
from effwidgets.transforms.prune.channel_prune import CHANNEL_PRUNE
from effwidgets.transforms.prune.wide_norms import NormOfSome, is_wide_norm

PICTURE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Attention(nn.Module):
    """Two heads; their width follows from the layers, not from the stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        return self.out(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Stream(nn.Module):
    """A vision transformer of one block: patches, a class token, positions, and a scale of the branch."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm, width: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.register_buffer("position", torch.randn(1, 5, width))
        self.first, self.second, self.last = norm(width), norm(width), norm(width)
        self.attention = Attention(width)
        self.gamma = nn.Parameter(torch.rand(width) + 0.5)
        self.widen, self.narrow = nn.Linear(width, 20), nn.Linear(20, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.position
        tokens = tokens + self.gamma * self.attention(self.first(tokens))
        tokens = tokens + self.narrow(functional.gelu(self.widen(self.second(tokens))))
        return self.head(self.last(tokens)[:, 0])


def stream(norm: type[nn.Module] = nn.LayerNorm) -> Stream:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Stream(norm).eval()
        for name, parameter in model.named_parameters():
            if name.startswith(("first", "second", "last")):
                nn.init.normal_(parameter, 1.0, 0.3)
    return model


def step(channels: int, **others: object) -> Step:
    return Step(transform="channel_prune", layers=("patches",), settings=settings(channels=channels, **others))


def masked(model: Stream, x: Tensor, stays: Tensor) -> Tensor:
    """The forward by hand, at the full width: a norm sums over the channels that stay and gives zeros elsewhere."""

    def norm(layer: nn.Module, rows: Tensor) -> Tensor:
        count = stays.sum()
        mean = (rows * stays).sum(-1, keepdim=True) / count if isinstance(layer, nn.LayerNorm) else 0.0
        spread = ((rows - mean).square() * stays).sum(-1, keepdim=True) / count
        eps = layer.eps if layer.eps is not None else torch.finfo(rows.dtype).eps
        found = (rows - mean) / (spread + eps).sqrt() * layer.weight
        return (found + layer.bias if isinstance(layer, nn.LayerNorm) else found) * stays

    tokens = model.patches(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([model.token.expand(len(x), -1, -1), tokens], 1) + model.position
    tokens = tokens + model.gamma * model.attention(norm(model.first, tokens))
    tokens = tokens + model.narrow(functional.gelu(model.widen(norm(model.second, tokens))))
    return model.head(norm(model.last, tokens)[:, 0])


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
@pytest.mark.parametrize("width", [11, 6, 2])
def test_a_narrower_stream_answers_as_the_forward_with_norms_over_what_stays(norm, width):
    model = stream(norm).double()
    x = PICTURE.double()
    applied = apply(model, Plan(steps=(step(width),)), x, repair=False)
    assert len(applied.edits) == 1, applied.skipped
    (kept,) = (kept.indices for kept in applied.edits[0].kept if kept.layer == "last")
    stays = torch.zeros(12, dtype=torch.float64)
    stays[list(kept)] = 1
    assert stays.sum() == width
    with torch.no_grad():
        torch.testing.assert_close(
            applied.model(x), masked(model, x, stays), rtol=1e-9, atol=1e-9
        )  # float64, sums of 12


def test_every_tensor_that_lies_along_the_stream_is_cut_at_the_same_places():
    model = stream()
    applied = apply(model, Plan(steps=(step(7),)), PICTURE, repair=False)
    kept = list(next(kept.indices for kept in applied.edits[0].kept if kept.layer == "patches"))
    pruned = applied.model
    assert pruned.last.normalized_shape == (7,)
    assert torch.equal(pruned.last.weight, model.last.weight[kept])
    assert torch.equal(pruned.first.bias, model.first.bias[kept])
    assert torch.equal(pruned.token, model.token[..., kept])
    assert torch.equal(pruned.position, model.position[..., kept])
    assert torch.equal(pruned.gamma, model.gamma[kept])
    assert torch.equal(pruned.head.weight, model.head.weight[:, kept])
    assert isinstance(pruned.token, nn.Parameter)
    assert [name for name, _ in pruned.named_buffers()] == ["position"]


def test_the_estimate_of_a_narrower_stream_is_exact_to_the_integer():
    model = stream()
    known = profile(model, PICTURE)
    for width in (11, 6, 1):
        plan = Plan(steps=(step(width),))
        applied = apply(model, plan, PICTURE, known=known, repair=False)
        said, change = estimate_plan(known, plan), applied.profile.cost - known.cost
        assert change.params < 0
        for name in CHANNEL_PRUNE.exact:
            assert getattr(said, name) == getattr(change, name), (width, name)


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_pruning_a_stream_keeps_the_promises_of_a_transformation(norm):
    TransformContract(CHANNEL_PRUNE).check(stream(norm), PICTURE)


def test_the_site_says_whose_statistics_change():
    site = next(found for found in CHANNEL_PRUNE.sites(profile(stream(), PICTURE)) if found.layers == ("patches",))
    assert isinstance(site, Site)
    assert site.advised
    assert site.reason.endswith("mean and spread of 3 layers are then taken over the channels that stay")


@pytest.mark.parametrize("criterion", ["l1", "l2", "fpgm", "activation", "taylor"])
def test_the_channel_that_nothing_makes_goes_first(criterion):
    model = stream()
    with torch.no_grad():
        for layer in (model.patches, model.attention.out, model.narrow):
            layer.weight[4] = 0
            layer.bias[4] = 0
        for tensor in (model.token, model.position):
            tensor[..., 4] = 0
        for norm in (model.first, model.second, model.last):
            norm.weight[4], norm.bias[4] = 0.01, 0
    applied = apply(model, Plan(steps=(step(11, criterion=criterion),)), PICTURE, calibration=[PICTURE], repair=False)
    assert len(applied.edits) == 1, applied.skipped
    (kept,) = (kept.indices for kept in applied.edits[0].kept if kept.layer == "last")
    # fpgm looks for the row nearest to all others: that of zeros, among random ones around zero.
    assert kept == (0, 1, 2, 3, *range(5, 12))
    assert not any("were zero" in note for note in applied.edits[0].notes), "a zero has its part in mean and spread"


def test_least_squares_brings_the_readers_of_the_stream_nearer():
    model = stream()
    drawn = torch.Generator().manual_seed(1)
    data = [torch.randn(32, 3, 8, 8, generator=drawn) for _ in range(4)]
    plan = Plan(steps=(step(9),))
    bare, fitted = (apply(model, plan, PICTURE, calibration=data, repair=repair).model for repair in (False, True))
    held_out = torch.randn(64, 3, 8, 8, generator=drawn)
    with torch.no_grad():
        wanted = model(held_out)
        before, after = ((found(held_out) - wanted).norm() for found in (bare, fitted))
    assert after < before


def test_heads_and_stream_may_both_go():
    heads = Step(transform="channel_prune", layers=("widen",), settings=settings(channels=9))
    model = stream()
    applied = apply(model, Plan(steps=(heads, step(5))), PICTURE, repair=False)
    assert len(applied.edits) == 2, applied.skipped
    assert tuple(applied.model.widen.weight.shape) == (9, 5)


def test_a_norm_of_some_channels_answers_like_the_norm_of_those_alone():
    norm, x = nn.LayerNorm(6), torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(2))
    nn.init.normal_(norm.weight, 1.0)
    small = nn.LayerNorm(3)
    small.load_state_dict({"weight": norm.weight[[0, 2, 5]], "bias": norm.bias[[0, 2, 5]]})
    found = NormOfSome(norm, (0, 2, 5))(x)
    torch.testing.assert_close(found[..., [0, 2, 5]], small(x[..., [0, 2, 5]]))
    assert not found[..., [1, 3, 4]].any()
    assert not is_wide_norm(nn.GroupNorm(2, 6))
