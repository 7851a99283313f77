"""Two profiles side by side: the alignment, the facts, the sums, the warnings."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.profile import ProfileOptions, parameters_only, profile
from effwidgets.records import Comparison, Cost, Environment, Latency, LayerProfile, Memory, Profile, Uncounted
from effwidgets.testing.zoo import specimen
from effwidgets.whatif.comparison import compare


def net(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


X = torch.zeros(4, 8)


def looked(model: nn.Module, x: torch.Tensor = X, **options: object) -> Profile:
    return profile(model, x, options=ProfileOptions(groups=False, **options))


def states(found: Comparison) -> dict[str, str]:
    return {layer.name: layer.state for layer in found.layers}


def facts(found: Comparison, name: str) -> dict[str, tuple[object, object]]:
    return {fact.what: (fact.before, fact.after) for fact in found.layer(name).facts}


def total(found: Comparison) -> Cost:
    return sum((place.whole_change for place in found.places()), Cost())


def test_a_profile_beside_itself_differs_nowhere():
    same = looked(net(nn.Linear(8, 8), nn.ReLU()))
    found = compare(same, same)
    assert set(states(found).values()) == {"same"}
    assert list(found.places()) == []
    assert found.change == Cost()
    assert found.warnings == ()


def test_a_layer_that_became_a_container_stands_against_all_of_it_with_its_parts_below():
    before = looked(net(nn.Linear(8, 8), nn.ReLU()))
    after = looked(net(net(nn.Linear(8, 2, bias=False), nn.Linear(2, 8)), nn.ReLU()))
    found = compare(before, after)
    assert states(found) == {"": "inside", "0": "replaced", "0.0": "added", "0.1": "added", "1": "same"}
    assert [layer.part_of for layer in found.layers] == [None, None, "0", "0", None]
    assert [place.name for place in found.places()] == ["0"]
    assert found.layer("0").change.params == (16 + 16 + 8) - (64 + 8)
    assert found.layer("0").change.macs == 4 * (16 + 16) - 4 * 64
    assert facts(found, "0") == {"class": ("Linear", "Sequential")}
    assert total(found) == found.change


def test_the_other_way_round_the_parts_are_removed_and_every_sign_is_turned():
    before = looked(net(nn.Linear(8, 8)))
    after = looked(net(net(nn.Linear(8, 2), nn.Linear(2, 8))))
    there, back = compare(before, after), compare(after, before)
    assert states(back) == {"": "inside", "0": "replaced", "0.0": "removed", "0.1": "removed"}
    assert back.change == -there.change
    assert [layer.change for layer in back.layers] == [-layer.change for layer in there.layers]


def test_added_and_removed_layers_are_named_in_the_order_in_which_they_stand():
    class Net(nn.Module):
        def __init__(self, *names: str) -> None:
            super().__init__()
            for name in names:
                self.add_module(name, nn.Linear(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.children():
                x = layer(x)
            return x

    found = compare(looked(Net("a", "gone", "b")), looked(Net("first", "a", "b", "c")))
    named = [(layer.name, layer.state) for layer in found.layers if layer.state in ("added", "removed")]
    assert named == [("first", "added"), ("gone", "removed"), ("c", "added")]
    assert [layer.name for layer in found.layers] == ["", "first", "a", "gone", "b", "c"]
    assert total(found) == found.change


def test_what_differs_of_a_layer_is_said_setting_by_setting():
    before = looked(net(nn.Linear(8, 16), nn.Linear(16, 8)))
    after = looked(net(nn.Linear(8, 12), nn.Linear(12, 8, bias=False)))
    found = compare(before, after)
    assert facts(found, "0") == {
        "out_features": (16, 12),
        "weight shape": ((16, 8), (12, 8)),
        "bias shape": ((16,), (12,)),
        "outputs": (((4, 16),), ((4, 12),)),
    }
    assert facts(found, "1")["bias"] == (True, False)
    assert [str(fact) for fact in found.layer("0").telling] == ["out_features 16 → 12"]


def test_a_frozen_a_tied_and_a_cast_tensor_are_each_a_fact():
    before = net(nn.Linear(8, 8), nn.Linear(8, 8))
    after = net(nn.Linear(8, 8), nn.Linear(8, 8))
    after[0].weight.requires_grad_(requires_grad=False)
    after[1].weight = after[0].weight
    found = compare(looked(before), looked(after))
    assert facts(found, "0")["weight trainable"] == (True, False)
    assert facts(found, "1")["weight tied to"] == (None, "0.weight")
    halved = compare(looked(before), looked(net(nn.Linear(8, 8), nn.Linear(8, 8)).double(), X.double()))
    assert facts(halved, "0")["weight dtype"] == ("float32", "float64")
    assert any("dtype: float32 before, float64 after" in warning for warning in halved.warnings)


def test_another_class_with_the_same_shape_is_said():
    found = compare(looked(net(nn.ReLU())), looked(net(nn.GELU())))
    assert facts(found, "0")["class"] == ("ReLU", "GELU")
    assert (found.layer("0").before_kind, found.layer("0").after_kind) == ("ReLU", "GELU")


def test_a_layer_that_stands_under_one_name_only_now_is_named_as_added():
    shared = specimen("shared_conv")
    whole = profile(shared.build(), shared.inputs())
    [twice] = [layer for layer in whole.layers if layer.aliases]

    model = shared.build()
    parent, _, leaf = twice.aliases[0].rpartition(".")
    own = nn.Conv2d(8, 8, 3, padding=1)
    setattr(model.get_submodule(parent), leaf, own)
    found = compare(whole, profile(model, shared.inputs()))
    assert found.layer(twice.aliases[0]).state == "added"
    assert facts(found, twice.name)["aliases"] == (twice.aliases, ())
    assert facts(found, twice.name)["calls"] == (2, 1)
    assert total(found) == found.change


@pytest.mark.parametrize("wrapper", ["module", "_orig_mod"])
def test_a_wrapper_around_one_of_the_two_does_not_make_everything_new(wrapper):
    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.add_module(wrapper, inner)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(self, wrapper)(x)

    model = net(nn.Linear(8, 8), nn.ReLU())
    for found in (compare(looked(model), looked(Wrapped(model))), compare(looked(Wrapped(model)), looked(model))):
        assert states(found)["0"] == "same"
        assert states(found)["1"] == "same"
        assert any(wrapper in note for note in found.notes)


def test_the_four_memory_numbers_name_the_layer_responsible_before_and_after():
    before = looked(net(nn.Linear(8, 64), nn.Linear(64, 8)))
    after = looked(net(nn.Linear(8, 16), nn.Linear(16, 256)))
    found = {change.quantity: change for change in compare(before, after).memory}
    assert list(found) == ["param_bytes", "inference_peak_bytes", "saved_bytes", "training_peak_bytes"]
    assert (found["param_bytes"].before, found["param_bytes"].after) == (
        4 * (8 * 64 + 64 + 64 * 8 + 8),
        4 * (8 * 16 + 16 + 16 * 256 + 256),
    )
    assert (found["param_bytes"].before_at, found["param_bytes"].after_at) == ("0", "1")
    peak = found["inference_peak_bytes"]
    assert (peak.before, peak.after) == (before.memory.inference_peak_bytes, after.memory.inference_peak_bytes)
    assert (peak.before_at, peak.after_at) == (before.memory.inference_peak_at, after.memory.inference_peak_at)
    assert peak.change == peak.after - peak.before


def test_the_layers_responsible_are_those_of_the_profiles_and_of_nothing_nobody():
    empty = looked(net(nn.ReLU(), nn.ReLU()))
    full = looked(net(nn.Linear(8, 8), nn.Linear(8, 64)))
    named = dataclasses.replace(full, memory=dataclasses.replace(full.memory, param_at="here", saved_at="there"))
    found = {change.quantity: change for change in compare(empty, named).memory}
    assert (found["param_bytes"].before_at, found["param_bytes"].after_at) == (None, "here")
    assert found["saved_bytes"].after_at == "there"


def test_parameters_alone_are_compared_with_a_warning_and_without_other_memory():
    model = net(nn.Linear(8, 8))
    found = compare(parameters_only(model), looked(model))
    assert [change.before for change in found.memory] == [4 * 72, None, None, None]
    assert found.memory[1].change is None
    assert "The first profile knows parameters only" in found.warnings[0]


def latency(median: float, iqr: float = 0.0) -> Latency:
    return Latency(median_s=median, iqr_s=iqr, repeats=5, device="cpu", threads=1)


def test_other_inputs_modes_machines_and_optimizers_are_warnings():
    model = net(nn.Linear(8, 8))
    before = dataclasses.replace(looked(model), train=False, latency=latency(1.0))
    place = dataclasses.replace(
        before.environment, device="cuda:0", torch="9.9", threads=before.environment.threads + 1
    )
    memory = dataclasses.replace(before.memory, optimizer="adam")
    other = dataclasses.replace(before, environment=place, memory=memory, train=True, latency=latency(2.0, 1.9))
    told = compare(before, other).warnings
    assert [warning.split(":")[0] for warning in told[:5]] == [
        "Not the same mode",
        "Not the same device",
        "Not the same torch",
        "Not the same threads",
        "Not the same optimizer",
    ]
    assert "eval before, training after" in told[0]
    assert "The second time is unsteady" in told[-1]
    inputs = compare(before, looked(model, torch.zeros(2, 8)))
    assert "Not the same inputs: 4 × 8 before, 2 × 8 after" in inputs.warnings[0]


def test_a_mode_that_nobody_wrote_down_and_threads_without_a_time_are_no_warning():
    before = dataclasses.replace(looked(net(nn.Linear(8, 8))), train=None)
    threads = Environment(torch=before.environment.torch, device="cpu", threads=99)
    assert compare(before, dataclasses.replace(before, train=True, environment=threads)).warnings == ()


def test_the_time_is_compared_where_both_have_it():
    one = looked(net(nn.Linear(8, 8)))
    timed = dataclasses.replace(one, latency=latency(0.5))
    assert compare(timed, dataclasses.replace(one, latency=latency(0.25))).latency_change_s == -0.25
    assert compare(one, timed).latency_change_s is None


def test_what_was_not_counted_on_either_side_is_said():
    one = looked(net(nn.Linear(8, 8)))
    least = dataclasses.replace(one, uncounted=(Uncounted(op="fft", times=3, layer="0"),))
    assert "The second profile has 3 operations without a formula: at least" in compare(one, least).warnings[0]
    later = dataclasses.replace(one, uncounted=(Uncounted(op="fft", times=1, layer="0", backward=True),))
    [said] = compare(later, one).warnings
    assert said == "The first profile has 1 operation without a formula in its backward: at least, not exact."


def test_only_one_with_a_backward_is_said():
    one, other = looked(net(nn.Linear(8, 8))), looked(net(nn.Linear(8, 8)), backward=False)
    assert any("Only one of the two knows the backward" in warning for warning in compare(one, other).warnings)


def test_notes_of_one_side_say_of_which():
    one = looked(net(nn.Linear(8, 8)))
    found = compare(one, dataclasses.replace(one, notes=("It was run for real.",)))
    assert found.notes == ("After: It was run for real.",)


def test_a_comparison_survives_json_and_an_unknown_layer_is_answered():
    found = compare(looked(net(nn.Linear(8, 16), nn.Linear(16, 8))), looked(net(nn.Linear(8, 12), nn.Linear(12, 8))))
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert hash(found) == hash(Comparison.from_dict(found.to_dict()))
    with pytest.raises(UnknownNameError, match="layer in either profile '00'"):
        found.layer("00")
    assert repr(found).startswith("Comparison(Sequential and Sequential: 2 places differ, −68 params")
    assert "0: changed Linear, out_features 16 → 12" in str(found)


def test_other_things_than_profiles_are_refused_by_name():
    with pytest.raises(InputError, match="after is dict; two profiles were expected"):
        compare(looked(net(nn.Linear(8, 8))), {})


# Random trees: paths over a small alphabet, each layer with a random own cost; a parent's cost is the sum below it.
costs = st.builds(Cost, params=st.integers(0, 99), macs=st.integers(0, 99), saved_bytes=st.integers(0, 99))
trees = st.dictionaries(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), costs, max_size=8)


def made(own: dict[str, Cost]) -> Profile:
    names = {""} | {".".join(name.split(".")[:depth]) for name in own for depth in range(1, name.count(".") + 2)}
    layers = tuple(
        LayerProfile(
            name=name,
            kind="Any",
            calls=1,
            self_cost=own.get(name, Cost()),
            cost=sum((c for n, c in own.items() if not name or f"{n}.".startswith(f"{name}.")), Cost()),
        )
        for name in sorted(names)
    )
    return Profile(
        model="Any",
        inputs=((1,),),
        dtype="float32",
        environment=Environment(torch="", device="cpu", threads=1),
        layers=layers,
        cost=layers[0].cost,
        memory=Memory(param_bytes=0, inference_peak_bytes=0, inference_peak_at="", saved_bytes=0),
    )


@given(trees, trees)
def test_whatever_the_trees_the_changes_of_the_places_add_up_to_that_of_the_model(one, other):
    before, after = made(one), made(other)
    found = compare(before, after)
    assert total(found) == after.cost - before.cost
    names = [layer.name for layer in found.layers]
    assert sorted(names) == sorted({layer.name for layer in (*before.layers, *after.layers)})
    for name in names:  # parents stand before children
        assert not name or names.index(name.rpartition(".")[0]) < names.index(name)
    mine = [layer.name for layer in before.layers]
    assert [name for name in names if name in mine] == mine  # in the order of the first
    for name in names:
        below = [layer.state for layer in found.layers if layer.name.startswith(f"{name}." if name else "")]
        if found.layer(name).state == "same":
            assert set(below) <= {"same"}
