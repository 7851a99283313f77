"""Groups of layers: what is coupled, what is barred and why; and the proof, by cutting channels out of real models."""

import collections

import pytest
import torch
from torch import nn

from effwidgets.profiling import ProfileOptions, as_call, groups_of, make_shadow, profile
from effwidgets.profiling.calls import run
from effwidgets.profiling.coupling.coupling import coupling_of
from effwidgets.profiling.coupling.opinion import second_opinion
from effwidgets.records import Group, Member
from effwidgets.testing.cutting import cut_out, silence, spread
from effwidgets.testing.menagerie import planted
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, resnet18, specimen


def groups(model, inputs):
    return {group.name: group for group in groups_of(make_shadow(model), as_call(inputs))}


def sides(group):
    return [(m.layer, m.side, m.repeat, m.start) for m in group.members]


def free(found):
    return {name for name, group in found.items() if group.obstacle is None}


OPEN = {
    "perceptron": {"0", "2"},
    "residual": {"stem.0", "block1.conv1", "block2.conv1", "block2.conv2"},
    "inverted_residual": {"stem", "block.expand.0"},
    "dense_concat": {"first", "second", "third", "mix"},
    "fire": {"stem", "squeeze", "expand1", "expand3"},
    "u_net": {"down", "bottom", "up"},
    "squeeze_excite": {"stem", "reduce", "conv"},
    "shared_conv": {"stem"},
    "channel_shuffle": {"stem", "group1", "group2"},
    "flatten_head": {"conv1", "conv2", "fc1"},
    "view_head": {"conv1", "conv2", "fc1"},
    "stated_view_head": {"conv1", "fc1"},
    "signal": {"0"},
    "vit": {"block.fc1"},
    "multihead_attention": set(),
    "transformer_encoder": {"layers.0.linear1", "layers.1.linear1"},
    "gpt": {"block.fc1"},
    "gated": {"stem", "gate"},
    "lstm": set(),
    "raw_parameter": set(),
    "frozen": {"0", "2"},
    "bfloat16": {"0", "2"},
    "resnext": {"stem", "block.conv1", "block.conv2"},
    "two_towers": {"conv2", "conv3", "conv4", "fc1"},
    "pixel_shuffle": {"first", "second"},
    "deep_stem": {"stem1", "stem2", "stem3", "conv1", "conv2"},
    "generator": {"0"},
    "signal_stack": {"0", "3", "5"},
    "volume": {"0", "3"},
    "gpt_split": {"h.0.c_fc", "h.1.c_fc"},
    "separate_attention": {"embed", "query"},
    "gated_input": {"gate_proj"},
    "chunked_gate": {"stem", "both"},
    "gru": set(),
    "masked": set(),
    "weight_norm": set(),
    "old_weight_norm": set(),
    "parametrized": set(),
    "branch": set(),
    "half_frozen": {"stem.0", "block1.conv1", "block2.conv1", "block2.conv2"},
    "bfloat16_residual": {"stem.0", "block1.conv1", "block2.conv1", "block2.conv2"},
    "normed_perceptron": {"0", "3"},
}


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_exactly_these_groups_of_the_zoo_are_free(found):
    model = found.build()
    before = state_of(model)
    seen, notes = coupling_of(make_shadow(model), found.inputs())
    assert free({group.name: group for group in seen}) == OPEN[found.name]
    assert len(notes) == (found.name == "branch")  # the trace cannot follow a question about values
    assert before.differences(state_of(model)) == []


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_channels_of_a_free_group_can_be_cut_out_of_the_model(found):
    """Silence channels where they are read, then cut them everywhere the group says: the outputs must be the same."""
    for group in groups(found.build(), found.inputs()).values():
        if group.obstacle is None and group.channels // group.blocks > 1:
            silenced, pruned = found.build(), found.build()
            gone = spread(group)
            silence(silenced, group, gone)
            cut_out(pruned, group, gone)
            with torch.no_grad():
                expected, got = run(silenced, found.inputs()), run(pruned, found.inputs())
            # Sums in another order: 1e-5 of the largest output in float32, 8 bits of mantissa in bfloat16.
            tolerance = 0.02 if got.dtype is torch.bfloat16 else 1e-5
            assert (expected - got).abs().max() <= tolerance * expected.abs().max(), group


@pytest.mark.parametrize("name", ["conv1", "stem"])
def test_planted_zero_channels_leave_the_outputs_where_they_are(name):
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    whole, pruned = planted(3)(), planted(3)()
    group = next(group for group in groups_of(make_shadow(whole), as_call(x)) if group.name == name)
    assert group.obstacle is None
    cut_out(pruned, group, range(group.channels - 3, group.channels))
    with torch.no_grad():
        torch.testing.assert_close(pruned(x), whole(x), rtol=1e-5, atol=1e-5)  # sums of fewer zeros in float32


def test_a_residual_sum_couples_all_that_feed_it():
    found = groups(specimen("residual").build(), specimen("residual").inputs())
    assert sides(found["stem.0"]) == [
        ("stem.0", "out", 1, 0),
        ("block1.conv2", "out", 1, 0),
        ("stem.1", "out", 1, 0),
        ("block1.bn2", "out", 1, 0),
        ("block1.conv1", "in", 1, 0),
        ("block2.conv1", "in", 1, 0),
        ("block2.shortcut.0", "in", 1, 0),
    ]
    assert found["stem.0"].channels == 8


def test_a_concatenation_gives_later_channels_a_later_start():
    found = groups(specimen("dense_concat").build(), specimen("dense_concat").inputs())
    assert ("mix", "in", 1, 12) in sides(found["third"])
    assert ("third", "in", 1, 8) in sides(found["second"])


def test_a_flatten_repeats_each_channel_for_the_reader():
    found = groups(specimen("flatten_head").build(), specimen("flatten_head").inputs())
    assert sides(found["conv2"]) == [("conv2", "out", 1, 0), ("fc1", "in", 16, 0)]


class Net(nn.Module):
    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *args):
        return self.function(self, *args)


def shuffled(net, x):
    y = net.a(x)
    return net.b(y.view(len(y), 2, 4, *y.shape[2:]).transpose(1, 2).reshape(y.shape))


PICTURE = torch.zeros(2, 3, 6, 6)
ROWS = torch.zeros(2, 8)
WORDS = torch.zeros(2, 5, 8)
SHARED = nn.Parameter(torch.ones(6))

BARRED = {
    "reaches the model's output": ("b", Net(lambda n, x: n.b(n.a(x)), a=nn.Linear(8, 6), b=nn.Linear(6, 2)), ROWS),
    "by numbers that do not follow": ("a", Net(shuffled, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 8, 1)), PICTURE),
    "one of them for each group": (
        "b.0", Net(lambda n, x: n.b(n.a(x)), a=nn.Conv2d(3, 8, 1), b=nn.Sequential(nn.Conv2d(8, 4, 1, groups=4), nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 2, 1))), PICTURE),
    "channels of several layers in 2 groups": (
        "a", Net(lambda n, x: n.c(torch.cat([n.a(x), n.b(x)], 1)), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 4, 1), c=nn.Conv2d(8, 8, 1, groups=2)), PICTURE),
    "attention heads of 'b'": (
        "a", Net(lambda n, x: n.b(*[n.a(x)] * 3)[0], a=nn.Linear(8, 8), b=nn.MultiheadAttention(8, 2)), WORDS),
    "recurrent layer 'b'": ("a", Net(lambda n, x: n.b(n.a(x))[0], a=nn.Linear(8, 8), b=nn.LSTM(8, 4)), WORDS),
    "meets the parameter 'scale'": (
        "a", Net(lambda n, x: torch.conv1d(n.a(x), n.scale), a=nn.Linear(8, 6), scale=nn.Parameter(torch.ones(4, 5, 1))), WORDS),
    "mean and spread": (
        "a", Net(lambda n, x: n.b(n.norm(n.a(x))), a=nn.Linear(8, 6), norm=nn.LayerNorm((5, 6)), b=nn.Linear(6, 2)), WORDS),
    "parameter 'scale' in several parts": (
        "a", Net(lambda n, x: n.c(torch.cat([n.a(x), n.b(x)], -1) * n.scale), a=nn.Linear(8, 4), b=nn.Linear(8, 2), c=nn.Linear(6, 2), scale=nn.Parameter(torch.ones(6))), ROWS),
    "is tied to one of": (
        "a", Net(lambda n, x: n.b(n.a(x) * n.scale), a=nn.Linear(8, 6), b=nn.Linear(6, 2), scale=SHARED, other=Net(None, scale=SHARED)), ROWS),
    "channels no layer makes": ("a", Net(lambda n, x: n.b(n.a(x) + x), a=nn.Linear(8, 8), b=nn.Linear(8, 2)), ROWS),
    "softmax runs over": ("a", Net(lambda n, x: n.b(n.a(x).softmax(-1)), a=nn.Linear(8, 6), b=nn.Linear(6, 2)), ROWS),
    "norm runs over": (
        "a", Net(lambda n, x: n.b(n.a(x) / n.a(x).mean(-1, keepdim=True)), a=nn.Linear(8, 6), b=nn.Linear(6, 2)), ROWS),
    "product of activations": (
        "a", Net(lambda n, x: n.b(n.a(x) @ n.a(x).transpose(1, 2)), a=nn.Linear(8, 6), b=nn.Linear(5, 2)), WORDS),
    "which may mix channels": (
        "a", Net(lambda n, x: n.b(n.a(x).cumsum(-1)), a=nn.Linear(8, 6), b=nn.Linear(6, 2)), ROWS),
    "states the size of a reshape": (
        "a", Net(lambda n, x: n.b(n.a(x).view(-1, 144)), a=nn.Conv2d(3, 4, 1), b=nn.Linear(144, 2)), PICTURE),
    "of '' (Net) cuts or reshapes its channels by numbers": (
        "a", Net(lambda n, x: n.b(n.a(x)[:, :3]), a=nn.Linear(8, 6), b=nn.Linear(3, 2)), ROWS),
    "also read by": (
        "a", Net(lambda n, x: n.b(n.a(x)) + 0 * n.a.weight.sum(), a=nn.Linear(8, 6), b=nn.Linear(6, 2)), ROWS),
    "equal parts, which would not stay equal": (
        "a", Net(lambda n, x: n.b(n.a(x).chunk(2, 1)[0]) + n.c(n.a(x).chunk(2, 1)[1]), a=nn.Linear(8, 6), b=nn.Linear(3, 2), c=nn.Linear(3, 2)), ROWS),
    "multiply along one dimension": (
        "a", Net(lambda n, x: n.c((n.a(x)[:, :, None] * n.b(x)[:, None]).flatten(1)), a=nn.Linear(8, 4), b=nn.Linear(8, 6), c=nn.Linear(24, 2)), ROWS),
    "is computed before it is used": (
        "a", nn.Sequential(collections.OrderedDict(a=nn.Linear(8, 6), b=nn.utils.parametrizations.weight_norm(nn.Linear(6, 2)))), ROWS),
    "takes as many inputs": (
        "a", Net(lambda n, x: n.b(n.a(x)) if len(x) else n.c(n.a(x)), a=nn.Linear(8, 6), b=nn.Linear(6, 2), c=nn.Linear(6, 2)), ROWS),
    "copied into a part": (
        "a", Net(lambda n, x: n.b(into(torch.zeros(2, 9), n.a(x))), a=nn.Linear(8, 6), b=nn.Linear(9, 2)), ROWS),
}  # fmt: skip


def into(whole, part):
    whole[:, 3:] = part
    return whole


@pytest.mark.parametrize("reason", BARRED)
def test_an_obstacle_says_in_words_why(reason):
    name, model, inputs = BARRED[reason]
    assert reason in groups(model, inputs)[name].obstacle


def test_a_tied_weight_bars_both_layers():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    found = groups(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(8, 2)), ROWS)
    assert "tied to that of" in found["0"].obstacle
    assert "tied to that of" in found["2"].obstacle


def test_removing_the_obstacle_frees_the_group():
    layers = {"a": nn.Conv2d(3, 8, 1), "b": nn.Conv2d(8, 8, 1)}
    assert groups(Net(lambda n, x: n.b(n.a(x)), **layers), PICTURE)["a"].obstacle is None
    layers = {"a": nn.Linear(8, 6), "norm": nn.BatchNorm1d(6), "b": nn.Linear(6, 2)}
    assert groups(Net(lambda n, x: n.b(n.norm(n.a(x))), **layers), ROWS)["a"].obstacle is None


def test_dropout_in_training_mode_is_no_obstacle():
    model = nn.Sequential(nn.Linear(8, 6), nn.Dropout(0.5), nn.Linear(6, 2)).train()
    shadow = make_shadow(model)
    assert groups_of(shadow, as_call(ROWS))[0].obstacle is None
    assert shadow.model.training


def test_a_channel_permutation_bars_and_a_pixel_shuffle_takes_its_places_together():
    model = Net(lambda n, x: n.b(n.a(x)[:, torch.tensor([1, 0, 2, 3])]), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(4, 2, 1))
    assert groups(model, PICTURE)["a"].obstacle
    shuffled = groups(nn.Sequential(nn.Conv2d(3, 8, 1), nn.PixelShuffle(2), nn.Conv2d(2, 4, 1)), PICTURE)["0"]
    assert (shuffled.channels, shuffled.obstacle) == (2, None)
    assert sides(shuffled) == [("0", "out", 4, 0), ("2", "in", 1, 0)]


def test_a_response_norm_is_named_by_the_channels_that_it_bars():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LocalResponseNorm(3), nn.Conv2d(4, 2, 1))
    assert groups(model, PICTURE)["0"].obstacle == "'1' (LocalResponseNorm) divides each channel by those beside it"


def test_a_reader_whose_weight_is_made_anew_is_no_attention():
    class Unpacked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("packed", torch.ones(4, 8, dtype=torch.int8))

        def forward(self, x):
            return nn.functional.linear(x, self.packed.to(x.dtype))

    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), Unpacked())
    reason = str(groups(model, ROWS)["0"].obstacle)
    assert reason.startswith("'2' (Unpacked) multiplies it by a matrix that is no layer's weight")


def test_an_instance_norm_without_a_scale_holds_each_channel_once_whatever_the_batch():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4), nn.Conv2d(4, 2, 1))
    group = groups(model, torch.zeros(2, 3, 4, 4))["0"]
    assert group.obstacle is None
    assert sides(group) == [("0", "out", 1, 0), ("1", "out", 1, 0), ("2", "in", 1, 0)]


def test_channels_that_pass_through_a_product_stay_because_no_layer_tells_its_work():
    model = Net(lambda n, x: n.b(x @ x.transpose(0, 1) @ n.a(x)), a=nn.Linear(8, 6), b=nn.Linear(6, 2))
    assert "product of activations" in str(groups(model, ROWS)["a"].obstacle)


def test_a_forward_that_cannot_be_followed_becomes_a_note():
    model = Net(lambda n, x: n.a(x) if n.a(x).sum() > 0 else x, a=nn.Linear(8, 8))
    seen, notes = coupling_of(make_shadow(model), as_call(ROWS))
    assert seen == ()
    assert "is not known (DataDependent" in notes[0]
    assert profile(model, ROWS).groups == ()


def test_torch_pruning_is_asked_and_a_difference_bars_the_group():
    found = specimen("residual")
    shadow = make_shadow(found.build())
    group = next(g for g in groups_of(shadow, found.inputs()) if g.name == "block1.conv1")
    wrong = Group(name=group.name, channels=8, members=(*group.members, Member(layer="head", side="in")))
    assert second_opinion(shadow, found.inputs(), (group,)) == ((group,), ())
    ((barred,), notes) = second_opinion(shadow, found.inputs(), (wrong,))
    assert barred.obstacle == "torch-pruning's dependency graph and ours differ about head"
    assert notes == ()


def test_torch_pruning_failing_is_a_note_and_leaves_the_groups(monkeypatch):
    import torch_pruning

    def breaks(*_args, **_kwargs):
        raise IndexError("somewhere inside")

    monkeypatch.setattr(torch_pruning.DependencyGraph, "build_dependency", breaks)
    found = specimen("residual")
    seen, notes = coupling_of(make_shadow(found.build()), found.inputs())
    assert free({group.name: group for group in seen}) == OPEN["residual"]
    assert "somewhere inside" in notes[0]


def test_a_shadow_is_as_it_was_after_its_groups_were_found():
    found = specimen("frozen")
    shadow = make_shadow(found.build().train())
    before = [(id(p), p.requires_grad) for p in shadow.model.parameters()]
    groups_of(shadow, found.inputs())
    assert [(id(p), p.requires_grad) for p in shadow.model.parameters()] == before
    assert all(module.training for module in shadow.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in shadow.model.modules())


def test_a_resnet18_is_grouped_and_profiles_without_groups_have_none():
    seen = profile(resnet18(), torch.zeros(1, 3, 64, 64))
    assert len(seen.groups) == 13
    assert [group.channels for group in seen.groups if group.obstacle] == [1000]
    assert profile(resnet18(), torch.zeros(1, 3, 64, 64), options=ProfileOptions(groups=False)).groups == ()


def test_weights_that_are_cast_on_the_way_are_not_followed_and_a_note_says_so():
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.b(self.a(x))

    seen = profile(Cast(), torch.zeros(2, 4))
    assert ["autocast" in group.obstacle for group in seen.groups] == [True, True]
    assert seen.cost.macs == 2 * (32 + 16)
