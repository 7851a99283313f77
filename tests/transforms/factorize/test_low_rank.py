"""A Linear, or a convolution of 1 x 1, as two of lower rank."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import parameters_only, profile
from effwidgets.records import Plan, Site, Step, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.factorize.low_rank import LOW_RANK


def step(layer: str, rank: int) -> Step:
    return Step(transform="low_rank", layers=(layer,), settings=settings(rank=rank, anyway=True))


def reasons(model: nn.Module, *inputs: torch.Tensor) -> dict[str, str]:
    return {found.layers[0]: found.reason for found in LOW_RANK.sites(profile(model, inputs))}


def test_the_break_even_rank_of_2048_to_1000_is_671():
    known = profile(nn.Sequential(nn.Linear(2048, 1000)), torch.zeros(1, 2048))
    (site,) = LOW_RANK.sites(known)
    assert isinstance(site, Site)
    (knob,) = site.knobs
    assert (knob.name, knob.low, knob.high, knob.break_even) == ("rank", 1, 1000, 671)
    assert LOW_RANK.estimate(known, step("0", 671)).macs < 0 < LOW_RANK.estimate(known, step("0", 672)).macs
    assert LOW_RANK.estimate(known, step("0", 671)).params == 671 * 3048 - 2_048_000


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(12, 8),
        nn.Linear(12, 8, bias=False),
        nn.Conv2d(12, 8, 1, stride=2, padding=1),
        nn.Conv2d(12, 8, 1, padding="same", padding_mode="reflect"),
        nn.Conv1d(12, 8, 1, stride=3),
        nn.Conv3d(12, 8, 1, bias=False),
    ],
    ids=str,
)
def test_full_rank_answers_as_before(layer):
    sizes = {nn.Linear: (5, 12), nn.Conv1d: (2, 12, 9), nn.Conv2d: (2, 12, 7, 6), nn.Conv3d: (2, 12, 3, 4, 5)}
    inputs = torch.randn(sizes[type(layer)], generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(layer)
    applied = apply(model, Plan(steps=(step("0", 8),)), inputs)
    first, second = applied.model[0]
    assert type(first) is type(second) is type(layer)
    assert first.bias is None
    assert (second.bias is None) == (layer.bias is None)
    assert torch.allclose(applied.model(inputs), model(inputs), atol=1e-5)  # outputs are about 1: float32, two products


def test_what_was_frozen_stays_frozen_and_modes_dtypes_stay():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).double()
    model[0].weight.requires_grad_(False)
    model[0].eval()
    applied = apply(model, Plan(steps=(step("0", 4), step("1", 4))), torch.zeros(1, 8, dtype=torch.float64))
    frozen, free = applied.model
    assert [part.weight.requires_grad for part in frozen] == [False, False]
    assert frozen[1].bias.requires_grad
    assert all(parameter.requires_grad for parameter in free.parameters())
    assert not any(module.training for module in frozen.modules())
    assert all(module.training for module in free.modules())
    assert {parameter.dtype for parameter in applied.model.parameters()} == {torch.float64}


def test_a_layer_that_runs_often_is_replaced_everywhere_and_counted_often():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    known = profile(model, torch.zeros(4, 8))
    (site,) = LOW_RANK.sites(known)
    assert "all 2 calls" in site.reason
    applied = apply(model, Plan(steps=(step("2", 2),)), torch.zeros(4, 8))  # by its other name
    assert applied.model[0] is applied.model[2]
    assert (applied.profile.cost - applied.before.cost).macs == LOW_RANK.estimate(known, step("0", 2)).macs


def test_layers_that_cannot_be_factored_are_skipped_with_the_obstacle():
    assert (
        "reads its weight directly"
        in reasons(nn.ModuleList([nn.MultiheadAttention(8, 2, batch_first=True)])[0], *(torch.zeros(1, 3, 8),) * 3)[
            "out_proj"
        ]
    )
    assert "recurrent" in reasons(nn.Sequential(nn.LSTM(8, 8)), torch.zeros(3, 1, 8))["0"]
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = reasons(encoder, torch.zeros(1, 3, 8))
    assert "TransformerEncoderLayer reads" in found["linear1"]
    assert "one raw parameter" in found["self_attn"]
    assert "depthwise" in reasons(nn.Sequential(nn.Conv2d(8, 8, 1, groups=8)), torch.zeros(1, 8, 2, 2))["0"]
    assert "too small" in reasons(nn.Sequential(nn.Linear(8, 2)), torch.zeros(1, 8))["0"]
    assert "the model itself" in reasons(nn.Linear(8, 8), torch.zeros(1, 8))[""]


def test_weights_that_are_made_of_others_are_skipped_until_they_are_plain():
    masked = nn.Sequential(nn.Linear(8, 8))
    prune.l1_unstructured(masked[0], "weight", amount=0.5)
    assert "masked" in reasons(masked, torch.zeros(1, 8))["0"]
    prune.remove(masked[0], "weight")
    assert "saves up to rank 3" in reasons(masked, torch.zeros(1, 8))["0"]
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)))
    assert "parametrized" in reasons(normed, torch.zeros(1, 8))["0"]


class Tied(nn.Module):
    """An embedding and a head of one matrix."""

    def __init__(self, *, head_first: bool = False, entries: int = 40, width: int = 16) -> None:
        super().__init__()
        if head_first:
            self.head = nn.Linear(width, entries)
        self.embed, self.mid = nn.Embedding(entries, width), nn.Linear(width, width)
        if not head_first:
            self.head = nn.Linear(width, entries)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.mid(self.embed(tokens))))


def pair(rank: int) -> Step:
    return Step(transform="low_rank", layers=("embed", "head"), settings=settings(rank=rank, anyway=True))


def tokens() -> torch.Tensor:
    return torch.randint(0, 40, (2, 5), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("head_first", [False, True])
def test_an_embedding_and_its_tied_head_share_their_factors(head_first):
    model = Tied(head_first=head_first)
    known = profile(model, tokens())
    site = next(found for found in LOW_RANK.sites(known) if found.layers == ("embed", "head"))
    assert isinstance(site, Site)
    assert not site.advised
    assert site.knobs[0].break_even == 11  # (40 + 16) r < 40 * 16
    applied = apply(model, Plan(steps=(pair(5),)), tokens())
    new = applied.model
    assert new.embed[0].weight is new.head[1].weight
    assert new.embed[1].weight is new.head[0].weight
    change, foreseen = applied.profile.cost - known.cost, LOW_RANK.estimate(known, pair(5))
    for name in LOW_RANK.exact:
        assert getattr(foreseen, name) == getattr(change, name), name
    assert change.params == 5 * (40 + 16) - 40 * 16


def test_a_tied_pair_at_full_rank_answers_as_before_and_travels_as_a_pickle():
    model = Tied()
    applied = apply(model, Plan(steps=(pair(16),)), tokens())
    assert torch.allclose(applied.model(tokens()), model(tokens()), atol=1e-5)  # outputs are about 1
    copied = pickle.loads(pickle.dumps(applied.model))  # noqa: S301  our own
    assert torch.equal(copied(tokens()), applied.model(tokens()))


def test_one_side_of_a_tie_alone_is_refused():
    applied = apply(Tied(), Plan(steps=(step("head", 2),)), tokens())
    assert not applied.edits
    assert "tied to embed.weight" in applied.skipped[0].reason


def test_an_embedding_becomes_a_narrow_one_and_a_linear():
    model = nn.Sequential(nn.Embedding(40, 16), nn.Linear(16, 8))
    known = profile(model, tokens())
    applied = apply(model, Plan(steps=(step("0", 5),)), tokens())
    assert [type(part) for part in applied.model[0]] == [nn.Embedding, nn.Linear]
    change = applied.profile.cost - known.cost
    assert change.macs == 2 * 5 * 5 * 16  # tokens, rank, width: what a look-up did not cost
    assert all(
        getattr(LOW_RANK.estimate(known, step("0", 5)), name) == getattr(change, name) for name in LOW_RANK.exact
    )
    full = apply(model, Plan(steps=(step("0", 16),)), tokens())
    assert torch.allclose(full.model(tokens()), model(tokens()), atol=1e-5)


@pytest.mark.parametrize("options", [{"padding_idx": 0}, {"max_norm": 1.0}, {"sparse": True}], ids=str)
def test_an_embedding_that_does_more_than_look_up_is_left_alone(options):
    model = nn.Sequential(nn.Embedding(40, 16, **options), nn.Linear(16, 8))
    applied = apply(model, Plan(steps=(step("0", 5),)), tokens())
    assert not applied.edits
    assert "its " in applied.skipped[0].reason


def test_a_rank_that_saves_nothing_is_refused_with_the_break_even():
    known = profile(nn.Sequential(nn.Linear(2048, 1000)), torch.zeros(1, 2048))
    refused = Step(transform="low_rank", layers=("0",), settings=settings(rank=700))
    with pytest.raises(TransformError, match="rank 700 saves nothing: Linear 2048 -> 1000 breaks even at 671"):
        LOW_RANK.estimate(known, refused)
    model = nn.Sequential(nn.Linear(16, 16))
    applied = apply(
        model, Plan(steps=(Step(transform="low_rank", layers=("0",), settings=settings(rank=9)),)), torch.zeros(1, 16)
    )
    assert "breaks even at 7" in applied.skipped[0].reason


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_in_groups_is_split_group_by_group(kernel):
    model = nn.Sequential(nn.Conv2d(12, 24, kernel, groups=2, padding=kernel // 2))
    image = torch.randn(2, 12, 6, 6, generator=torch.Generator().manual_seed(0))
    known = profile(model, image)
    (site,) = LOW_RANK.sites(known)
    assert isinstance(site, Site)
    assert site.advised == (kernel == 1)
    high = int(site.knobs[0].high)
    assert high == min(12, 6 * kernel**2)
    full = apply(model, Plan(steps=(step("0", high),)), image)
    assert torch.allclose(full.model(image), model(image), atol=1e-5)
    low = apply(model, Plan(steps=(step("0", 2),)), image)
    assert [part.groups for part in low.model[0]] == [2, 2]
    change = low.profile.cost - known.cost
    assert all(
        getattr(LOW_RANK.estimate(known, step("0", 2)), name) == getattr(change, name) for name in LOW_RANK.exact
    )


def skewed(rows: int, width: int) -> torch.Tensor:
    """Inputs whose directions differ in size by a factor of 30, turned at random."""
    own = torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(width, width, generator=own))[0]
    return (torch.randn(rows, width, generator=own) * torch.logspace(-1.5, 0, width)) @ turn + 0.3


def test_whitened_factors_lose_less_of_the_outputs_than_plain_ones():
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(64, 48)), skewed(2048, 64)
    errors = {}
    for data in ("plain", "whitened"):
        chosen = Step(transform="low_rank", layers=("0",), settings=settings(rank=16, data=data))
        applied = apply(model, Plan(steps=(chosen,)), inputs, calibration=inputs, repair=False)
        errors[data] = applied.edits[0].error
    default = Step(transform="low_rank", layers=("0",), settings=settings(rank=16))
    applied = apply(model, Plan(steps=(default,)), inputs, calibration=inputs, repair=False)
    assert applied.edits[0].error == errors["whitened"]
    assert "whitened by 2,048 rows" in applied.edits[0].notes[0]
    assert errors["whitened"] < 0.8 * errors["plain"]
    first, second = applied.model[0]
    assert torch.allclose(first.weight.norm(dim=1), second.weight.norm(dim=0), rtol=1e-4)  # one scale: they can learn


def test_whitened_without_inputs_is_refused_and_says_so():
    chosen = Step(transform="low_rank", layers=("0",), settings=settings(rank=4, data="whitened"))
    applied = apply(nn.Sequential(nn.Linear(16, 16)), Plan(steps=(chosen,)), torch.zeros(1, 16))
    assert "needs calibration inputs; none came" in applied.skipped[0].reason


def test_a_layer_that_never_ran_is_skipped():
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    assert "did not run" in reasons(Half(), torch.zeros(1, 8))["idle"]
    assert all("did not run" in found.reason for found in LOW_RANK.sites(parameters_only(Half())))


def test_a_frozen_trunk_and_frozen_factors_cost_the_backward_that_is_estimated():
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 8))
    model[0].requires_grad_(False)
    model[2].weight.requires_grad_(False)
    known = profile(model, torch.zeros(4, 8))
    for layer in ("0", "1", "2"):
        change = apply(model, Plan(steps=(step(layer, 3),)), torch.zeros(4, 8)).profile.cost - known.cost
        assert change.backward_macs == LOW_RANK.estimate(known, step(layer, 3)).backward_macs
        assert change.saved_bytes == LOW_RANK.estimate(known, step(layer, 3)).saved_bytes


@pytest.mark.parametrize("rank", [0, 9, 2.0, True, "4"])
def test_a_rank_out_of_range_names_layer_value_and_range(rank):
    known = profile(nn.Sequential(nn.Linear(8, 8)), torch.zeros(1, 8))
    with pytest.raises(TransformError, match=r"low_rank at 0 .*rank is .* from 1 to 8"):
        LOW_RANK.estimate(known, Step(transform="low_rank", layers=("0",), settings=settings(rank=rank)))


def test_inputs_that_say_nothing_leave_a_note_that_nothing_was_whitened():
    model, plan = nn.Sequential(nn.Linear(16, 16)), Plan(steps=(step("0", 4),))
    silent = apply(model, plan, torch.ones(1, 16), calibration=torch.zeros(8, 16), repair=False)
    assert silent.edits[0].notes == ("not whitened: the calibration inputs say nothing here",)
    spoiled = torch.randn(64, 16)
    spoiled[3] = torch.nan  # one row of many
    made = apply(model, plan, torch.ones(1, 16), calibration=spoiled, repair=False)
    assert made.edits[0].notes == ("whitened by 63 rows of calibration inputs",)


def test_an_unknown_kind_of_data_is_refused_before_anything_is_built():
    model = nn.Sequential(nn.Linear(16, 16))
    known = profile(model, torch.ones(1, 16))
    odd = Step(transform="low_rank", layers=("0",), settings=settings(rank=2, data="foo"))
    for ask in (lambda: LOW_RANK.estimate(known, odd), lambda: LOW_RANK.rewrite(copy.deepcopy(model), odd, known)):
        with pytest.raises(TransformError, match="data is 'foo'; 'plain' or 'whitened' was expected"):
            ask()
