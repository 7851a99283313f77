"""What a model would cost at other sizes: against profiles of the real sizes, and against arithmetic."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Sweep
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, Specimen, specimen
from effwidgets.whatif.sweep import Axis, axis_of, sweep

BATCH = Axis(name="batch", sizes=(1, 2, 3, 4))


@pytest.mark.parametrize("model", MODELS, ids=lambda found: found.name)
def test_over_the_batch_the_macs_of_every_zoo_model_are_a_straight_line_through_its_worked_out_cost(model: Specimen):
    inputs = model.inputs()
    batch = inputs.args[0].shape[0]
    found = sweep(model.build(), inputs, BATCH)
    growth = found.growth_of("macs")
    assert growth.kind == "linear"
    assert growth.coefficients == ((0, 1), (model.macs // batch, 1))
    assert all(point.note == "" for point in found.points)


@pytest.mark.parametrize("name", ["residual", "transformer_encoder", "gpt", "signal"])
def test_a_point_is_the_profile_of_real_inputs_of_that_size(name: str):
    found = specimen(name)
    model, inputs = found.build(), found.inputs()
    for point in sweep(model, inputs, Axis(name="batch", sizes=(1, 5))).points:
        one = inputs.args[0][:1]
        real = profile(model, one.repeat(point.size, *[1] * (one.dim() - 1)), options=ProfileOptions(groups=False))
        assert (point.cost, point.memory, point.inputs) == (real.cost, real.memory, real.inputs)


def test_a_convolution_grows_with_the_square_of_the_resolution():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    found = sweep(model, torch.zeros(2, 3, 8, 8), Axis(name="resolution", sizes=(8, 12, 16, 31)))
    assert found.growth_of("macs").formula() == f"{2 * 9 * 3 * 8}·n² + {2 * 8 * 5}"
    [only] = [growth for growth in found.layers if growth.quantity == "macs"]
    assert (only.layer, only.share, only.formula()) == ("0", 1.0, "432·n²")


def test_pictures_keep_their_proportion_and_a_side_that_is_not_whole_is_said():
    found = sweep(nn.Conv2d(3, 1, 1), torch.zeros(1, 3, 4, 6), Axis(name="resolution", sizes=(2, 3, 8)))
    assert [point.inputs for point in found.points] == [((1, 3, 2, 3),), (), ((1, 3, 8, 12),)]
    assert "would be 4.50" in found.point(3).note


def test_attention_grows_with_the_square_of_the_length_by_the_attention_alone():
    model = specimen("gpt")
    found = sweep(model.build(), model.inputs(), Axis(name="sequence", sizes=(2, 4, 8, 12)))
    # Two of twelve tokens, width 16, one block: the products of attention are 2 x batch x n² x 16.
    assert found.growth_of("macs").formula() == f"{2 * 2 * 16}·n² + {2 * (12 * 16 * 16 + 16 * 40):,}·n"
    assert found.growth_of("macs", "block.attn").formula() == "64·n²"
    assert sum(growth.share for growth in found.layers if growth.quantity == "macs") == pytest.approx(1)


def test_a_table_of_positions_that_is_too_short_is_a_point_with_the_reason():
    model = specimen("gpt")
    found = sweep(model.build(), model.inputs(), Axis(name="sequence", sizes=(6, 12, 13)))
    last = found.point(13)
    assert last.cost is None
    assert last.memory is None
    assert last.inputs == ((2, 13),)
    assert "'places'" in last.note
    assert "the table has 12 rows" in last.note
    assert found.point(12).cost is not None


def test_a_wrong_shape_is_a_point_with_the_layer():
    model = specimen("flatten_head")
    found = sweep(model.build(), model.inputs(), Axis(name="resolution", sizes=(12, 16)))
    assert found.points[0].cost is None
    assert "layer" in found.points[0].note
    assert found.points[1].cost is not None


class Masked(nn.Module):
    """Asks for values: of the mask, and of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.words(ids)
        if not mask.all():
            x = x @ torch.ones(4, 4)
        return x[: int(ids.max())]


def test_tokens_and_masks_are_repeated_so_that_their_values_stay_in_range():
    ids, mask = torch.tensor([[4, 1, 2], [3, 0, 4]]), torch.tensor([[True, True, False], [True, True, True]])
    found = sweep(Masked(), Call((), {"ids": ids, "mask": mask}), Axis(name="sequence", sizes=(2, 3, 7, 9)))
    assert [point.note for point in found.points] == [""] * 4
    # Two tokens of each are not masked, so nothing is multiplied; 2 x n x 4 x 4 where the third is there.
    assert [point.cost.macs for point in found.points] == [0, 2 * 3 * 16, 2 * 7 * 16, 2 * 9 * 16]


class Reads(nn.Module):
    """Asks for the value of an activation, which a shadow has not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return self.layer(x) if x.sum().item() > -1e9 else x


def test_a_forward_that_asks_for_activations_is_run_for_real_and_says_so():
    found = sweep(Reads(), torch.zeros(2, 4), BATCH)
    assert found.growth_of("macs").formula() == "32·n"
    assert any("real numbers" in note for note in (*found.notes, *(point.note for point in found.points)))


class Allocations(TorchDispatchMode):
    """Largest tensor of real numbers made while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if type(out) is torch.Tensor and not out.is_meta:
            self.largest = max(self.largest, out.numel())
        return out


def test_nothing_of_any_size_is_allocated():
    model = nn.Conv2d(3, 4, 3)
    with Allocations() as seen:
        found = sweep(model, torch.zeros(1, 3, 8, 8), Axis(name="batch", sizes=(1, 1_000_000_000)))
    assert found.point(1_000_000_000).memory.inference_peak_bytes == 4 * 4 * 6 * 6 * 10**9
    assert seen.largest <= 3 * 8 * 8


def test_the_model_and_the_random_state_are_untouched_and_every_size_starts_anew():
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.cache = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.cache is None:  # made once, of the size that came first
                self.cache = torch.ones(x.shape[0], 4) @ torch.ones(4, 4)
            return self.layer(x) + self.cache

    model = Keeps()
    before = state_of(model)
    found = sweep(model, torch.zeros(2, 4), BATCH)
    assert before.differences(state_of(model)) == []
    assert model.cache is None
    assert found.growth_of("macs").formula() == "32·n"  # the cache of a size is counted at that size, and fits it


class Pair(nn.Module):
    """Does work where both inputs are one tensor, as torch's attention asks."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return one @ torch.ones(3, 3) if one is other else one + 1


def test_the_caller_says_what_follows_by_name_or_by_a_function():
    model = nn.Bilinear(3, 5, 2)
    inputs = (torch.zeros(4, 3), torch.zeros(4, 5))
    by_name = sweep(model, inputs, Axis(name="size", sizes=(1, 2, 3), dims={0: 0, 1: 0}))
    by_function = sweep(model, lambda n: (torch.zeros(n, 3), torch.zeros(n, 5)), Axis(name="size", sizes=(1, 2, 3)))
    assert by_name.points == by_function.points
    assert by_name.changed == ("input 0, dimension 0", "input 1, dimension 0")
    assert by_function.changed == ()


def test_a_tensor_that_is_handed_in_twice_follows_where_it_is_said():
    x = torch.zeros(2, 3)
    found = sweep(Pair(), (x, x), Axis(name="size", sizes=(2, 4), dims={0: 0}))
    assert [point.inputs for point in found.points] == [((2, 3), (2, 3)), ((4, 3), (2, 3))]


def test_a_tensor_that_is_handed_in_twice_and_follows_twice_stays_one():
    x = torch.zeros(2, 3)
    both = Axis(name="size", sizes=(4,), dims={0: 0, 1: 0})
    [point] = sweep(Pair(), (x, x), both).points
    assert (point.inputs, point.cost.macs) == (((4, 3), (4, 3)), 4 * 3 * 3)
    [point] = sweep(Pair(), (x, x.clone()), both).points
    assert point.cost.macs == 0


def test_a_function_that_fails_is_told_with_the_size():
    def odd(n: int) -> torch.Tensor:
        raise KeyError("no")

    with pytest.raises(InputError, match="inputs of size 3 could not be made: odd\\(3\\) raised KeyError"):
        sweep(nn.Linear(4, 4), odd, Axis(name="size", sizes=(3,)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "none came"),
        ({"batch": (1,), "sequence": (2,)}, "batch and sequence came"),
        ({"batch": ()}, "no sizes"),
        ({"batch": (0, 1)}, "whole numbers above 0"),
        ({"batch": (True,)}, "whole numbers above 0"),
        ({"batch": 2.5}, "whole numbers above 0"),
        ({"batch": "12"}, "whole numbers above 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        axis_of(given)


def test_sizes_are_sorted_and_taken_once():
    assert axis_of({"batch": [4, 1, 4, 2]}).sizes == (1, 2, 4)
    assert axis_of({"batch": range(1, 3)}).sizes == (1, 2)


def test_sizes_without_a_word_of_what_follows_and_a_measured_time_are_refused():
    with pytest.raises(InputError, match="sizes= says how large, not what"):
        sweep(nn.Linear(4, 4), torch.zeros(1, 4), Axis(name="size", sizes=(1,)))
    with pytest.raises(InputError, match="measures no time"):
        sweep(nn.Linear(4, 4), torch.zeros(1, 4), BATCH, options=ProfileOptions(latency=True))
    with pytest.raises(InputError, match="nothing is left to say in dims"):
        sweep(nn.Linear(4, 4), lambda n: torch.zeros(n, 4), Axis(name="size", sizes=(1,), dims={0: 0}))


def test_the_largest_size_within_a_budget_is_looked_up_and_reckoned():
    found = sweep(nn.Linear(8, 4), torch.zeros(1, 8), Axis(name="batch", sizes=(1, 2, 4, 8)))
    limit = found.largest(macs=32 * 5)
    assert (limit.size, limit.exceeds, limit.reckoned, limit.fails) == (4, 8, 5, None)
    params = 4 * (8 * 4 + 4)
    whole = found.largest(inference_bytes=params + 16 * 1000 + 15)  # four outputs of four bytes for each example
    assert (whole.size, whole.exceeds, whole.reckoned) == (8, None, 1000)
    assert found.largest(macs="1k").reckoned == 31
    nothing = found.largest(macs=3)
    assert (nothing.size, nothing.exceeds, nothing.reckoned) == (None, 1, None)
    for wrong in ({}, {"macs": 1, "saved_bytes": 1}):
        with pytest.raises(InputError, match="one was expected"):
            found.largest(**wrong)
    with pytest.raises(UnknownNameError, match="training_bytes"):
        found.largest(train_bytes=3)


@pytest.mark.parametrize(
    "wrong", [None, [1], (1,), True, float("nan"), float("inf"), -1, -0.5, "-3", 1j, "many", 10**400]
)
def test_a_budget_that_is_no_number_from_zero_on_is_refused(wrong):
    found = sweep(nn.Linear(8, 4), torch.zeros(1, 8), Axis(name="batch", sizes=(1, 2, 4, 8)))
    with pytest.raises(InputError, match="number"):
        found.largest(macs=wrong)
    assert found.largest(macs=0).size is None


def test_nothing_is_reckoned_past_a_size_at_which_the_model_fails():
    model = specimen("gpt")
    found = sweep(model.build(), model.inputs(), Axis(name="sequence", sizes=(2, 4, 8, 12, 16)))
    assert (found.largest(macs="1G").fails, found.largest(macs="1G").reckoned) == (16, None)
    assert found.largest(macs=found.point(8).cost.macs).reckoned == 8


def test_where_no_size_runs_the_sweep_says_why_and_knows_no_growth():
    found = sweep(nn.Linear(8, 4), torch.zeros(1, 9), BATCH)
    assert all("takes 8 features" in point.note for point in found.points)
    assert found.growth == found.layers == ()


def test_a_sweep_survives_json_and_unknown_sizes_and_costs_are_answered():
    found = sweep(nn.Linear(8, 4), torch.zeros(1, 8), BATCH, options=ProfileOptions(train=True, optimizer="adam"))
    assert Sweep.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert found.train
    assert found.points[0].memory.optimizer == "adam"
    with pytest.raises(UnknownNameError, match="batch size in this sweep"):
        found.point(64)
    with pytest.raises(UnknownNameError, match="Known: "):
        found.growth_of("flops")
    with pytest.raises(UnknownNameError, match="layer that makes the growth of macs"):
        found.growth_of("macs", "fc")
    with pytest.raises(UnknownNameError, match="There is no cost"):
        found.points[0].value("flops")
    assert repr(found) == "Sweep(Linear over batch 1, 2, 3, 4, MACs linear)"
