"""A model is brought back: layer by layer, from the data alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from effwidgets.errors import Cancelled, InputError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.records import Plan, Repaired, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.apply import Applied, apply
from effwidgets.transforms.calibration import Calibration
from effwidgets.transforms.repair import passes, remembered, whole
from effwidgets.transforms.repair.outputs import output_error
from effwidgets.transforms.repair.whole import repair

LEAST = ["least_squares"]


def data(*shapes: tuple[int, ...], seed: int = 0) -> Calibration:
    dice = torch.Generator().manual_seed(seed)
    return Calibration(batches=tuple(Call((torch.randn(shape, generator=dice),)) for shape in shapes))


def prune(layer: str, channels: int) -> Step:
    return Step(transform="channel_prune", layers=(layer,), settings=settings(channels=channels))


def edited(model: nn.Module, batches: Calibration, *steps: Step) -> Applied:
    made = apply(model, Plan(steps=steps), *batches.batches[0].args, repair=False)
    assert not made.skipped
    return made


def mixed(layer: nn.Module, kept: int) -> nn.Module:
    """Make the outputs behind the first ``kept`` of a layer small mixtures of these: nothing is lost without them."""
    with torch.no_grad():
        mix = torch.randn(layer.weight.shape[0] - kept, kept, generator=torch.Generator().manual_seed(1)) * 0.1
        layer.weight[kept:] = torch.einsum("ok,k...->o...", mix, layer.weight[:kept])
        if layer.bias is not None:
            layer.bias[kept:] = mix @ layer.bias[:kept]
    return layer


READERS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Conv2d(8, 5, 3),
    "strided, dilated": lambda: nn.Conv2d(8, 5, 3, stride=2, padding=2, dilation=2),
    "a point": lambda: nn.Conv2d(8, 5, 1, bias=False),
    "turned": lambda: nn.ConvTranspose2d(8, 5, 3, stride=2, padding=1, output_padding=1),
}


@pytest.mark.parametrize("name", READERS)
def test_channels_that_were_mixtures_of_others_are_made_up_for_in_full(name):
    torch.manual_seed(0)
    model = nn.Sequential(mixed(nn.Conv2d(3, 8, 3), 4), READERS[name]()).eval()
    batches = data((16, 3, 9, 9), (16, 3, 9, 9))
    made = edited(model, batches, prune("0", 4))
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.error_before > 0.05
    # The ridge holds: its least is 1e-6 of a mean square, and what is left is of that order, over the condition.
    assert found.error_after < 1e-3
    assert found.steps == ("least_squares",)
    assert output_error(made.model, model, batches) == pytest.approx(found.error_after)


def test_the_mean_of_what_was_removed_goes_into_the_bias():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 3)).eval()
    batches = data((256, 4))
    made = edited(model, batches, prune("0", 5))
    (kept,) = [kept.indices for kept in made.edits[0].kept if kept.layer == "2"]
    gone = [channel for channel in range(8) if channel not in kept]
    weight = made.model[2].weight.clone()
    found = repair(made.model, model, made.edits, batches, steps=["bias"])
    with torch.no_grad():
        mean = model[1](model[0](*batches.batches[0].args))[:, gone].mean(0)
        wanted = model[2].bias + model[2].weight[:, gone] @ mean
    torch.testing.assert_close(made.model[2].bias, wanted)
    assert torch.equal(made.model[2].weight, weight)
    assert found.steps == ("bias",)
    assert [(refit.layer, refit.step, refit.rows) for refit in found.refits] == [("2", "bias", 256)]


def test_without_a_bias_the_batch_norm_behind_takes_the_mean():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 1), nn.Softplus(), nn.Conv2d(8, 3, 1, bias=False), nn.BatchNorm2d(3)).eval()
    batches = data((32, 2, 4, 4))
    made = edited(model, batches, prune("0", 5))
    repair(made.model, model, made.edits, batches, steps=["bias"])
    (value,) = batches.batches[0].args
    with torch.no_grad():
        means = [net(value).mean((0, 2, 3)) for net in (model, made.model)]
    torch.testing.assert_close(*means)
    assert made.model[2].bias is None


class Block(nn.Module):
    """A residual sum of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 4)
        self.norm = nn.BatchNorm1d(4)
        self.short = nn.Linear(4, 4)

    def forward(self, value: Tensor) -> Tensor:
        """Add a shortcut."""
        short = self.short(value)
        return self.norm(self.second(self.first(value))) + short


def test_a_branch_makes_up_for_what_the_other_one_lost():
    torch.manual_seed(0)
    model = Block().eval()
    with torch.no_grad():
        model.norm.running_var.uniform_(0.5, 2)
        model.norm.weight.uniform_(0.5, 2)
    mixed(model.first, 4)
    batches = data((256, 4))
    made = edited(model, batches, prune("first", 4))
    with torch.no_grad():
        made.model.short.weight[:, 0] = 0  # a loss that no edit speaks of
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.error_before > 0.1
    assert found.error_after < 1e-3  # the four channels left hold all of the input, so the sum can be made whole
    assert torch.equal(made.model.short.weight[:, 0], torch.zeros(4))


def test_an_output_that_was_written_into_is_not_taken_for_the_branch():
    class Written(Block):
        def forward(self, value: Tensor) -> Tensor:
            return functional.relu_(self.norm(self.second(self.first(value)))) + self.short(value)

    torch.manual_seed(0)
    model = Written().eval()
    mixed(model.first, 4)
    batches = data((256, 4))
    made = edited(model, batches, prune("first", 4))
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.error_after < 1e-3  # its own outputs are aimed at, behind which nothing was lost


def test_a_layer_that_runs_twice_is_fitted_to_both_of_its_calls():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, value: Tensor) -> Tensor:
            return self.two(self.one(self.two(self.one(value))))

    torch.manual_seed(0)
    model = Twice().eval()
    mixed(model.one, 4)
    batches = data((256, 4))
    made = edited(model, batches, prune("one", 4))
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.error_before > 0.05
    # Its second call is given what its own new values make of the first, so it takes rounds.
    assert found.error_after < 0.005
    assert [refit.rows for refit in found.refits] == [512]


def test_layers_are_fitted_from_front_to_back_with_what_they_are_given_now():
    torch.manual_seed(0)
    layers = [mixed(nn.Linear(6, 12), 6), mixed(nn.Linear(12, 12), 6), nn.Linear(12, 3)]
    model = nn.Sequential(*layers).eval()
    batches = data((512, 6))
    made = edited(model, batches, prune("1", 6), prune("0", 6))
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert [refit.layer for refit in found.refits] == ["1", "2"]
    assert all(refit.kept and refit.after < refit.before for refit in found.refits)
    # Layer 1 lost outputs too: it is fitted to those that it still makes.
    assert found.error_after < 1e-3


def test_the_last_factor_of_a_split_layer_is_fitted():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 12), nn.Linear(12, 4)).eval()
    skewed = Calibration(
        batches=tuple(Call((batch.args[0] * torch.logspace(0, -2, 16),)) for batch in data((512, 16)).batches)
    )
    made = edited(model, skewed, Step(transform="low_rank", layers=("0",), settings=settings(rank=6)))
    first, given = made.model[0][0].weight.clone(), skewed.batches[0].args[0]
    found = repair(made.model, model, made.edits, skewed, steps=LEAST)
    assert [refit.layer for refit in found.refits] == ["0.1"]
    assert found.error_after < found.error_before
    with torch.no_grad():
        rows = torch.cat([given @ first.T, torch.ones(512, 1)], 1).double()
        wanted = model[0](given).double()
        best = rows @ torch.linalg.lstsq(rows, wanted).solution
        left, least = ((each.double() - wanted).norm() for each in (made.model[0](given), best))
    assert least <= left < 1.01 * least  # but for the ridge


def test_split_then_pruned_and_pruned_then_split_are_aimed_right():
    torch.manual_seed(0)
    model = nn.Sequential(mixed(nn.Linear(6, 12), 6), mixed(nn.Linear(12, 12), 8), nn.Linear(12, 3)).eval()
    batches = data((512, 6))
    split = Step(transform="low_rank", layers=("1",), settings=settings(rank=6, anyway=True))
    for steps in ((split, prune("0", 6), prune("1.1", 8)), (prune("0", 6), prune("1", 8), split)):
        made = edited(model, batches, *steps)
        found = repair(made.model, model, made.edits, batches, steps=LEAST)
        assert [refit.layer for refit in found.refits] == ["1.1", "2"], steps
        assert found.error_after < found.error_before
        assert found.error_after < 0.02


def test_values_change_and_nothing_else_does():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4)).train()
    batches = data((64, 4))
    made = edited(model, batches, prune("0", 5))
    made.model[3].weight.requires_grad_(False)
    before, original = state_of(made.model), state_of(model)
    repair(made.model, model, made.edits, batches, steps=LEAST)
    after = state_of(made.model)
    assert sorted(before.differences(after)) == [
        "3.bias was replaced or written into",
        "3.weight was replaced or written into",
    ]
    assert {name: entry[0] for name, entry in before.tensors.items()} == {
        name: entry[0] for name, entry in after.tensors.items()
    }  # the same parameters, with other values
    assert original.differences(state_of(model)) == []


def test_what_raises_the_error_of_the_outputs_is_put_back(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).eval()
    batches = data((256, 4))
    made = edited(model, batches, prune("0", 5))
    before = state_of(made.model)

    def harmful(seen, unseen, scale, *, bias):
        return whole.Change(weight=torch.full((1, 4, 5), 9.0).double(), bias=torch.zeros(1, 4).double())

    monkeypatch.setattr(whole, "best_change", harmful)
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.steps == ()
    assert found.error_after == found.error_before
    assert [refit.kept for refit in found.refits] == [False]
    assert found.notes == (
        "2: as before, because new values by least squares would raise an error on data they were not fitted to.",
    )
    assert all(torch.equal(made.model.state_dict()[name], before.tensors[name][2]) for name in before.tensors)


def test_with_too_little_data_the_old_weights_hold():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 8)).eval()
    few, many = data((8, 4)), data((512, 4), seed=1)
    made = edited(model, few, prune("0", 48))
    before = output_error(made.model, model, many)
    repair(made.model, model, made.edits, few, steps=LEAST)
    # 48 weights and a bias from 6 rows: plain least squares would be far off on other data.
    assert output_error(made.model, model, many) < 1.2 * before


def test_what_lowers_its_own_error_and_raises_that_of_the_outputs_is_put_back(monkeypatch):
    class Picky(nn.Module):
        """Looks at one of four numbers, and at the squares of the others where they are large."""

        def forward(self, value: Tensor) -> Tensor:
            return value[:, :1] * (value[:, 1:].abs() < 100).all(1, keepdim=True)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4), Picky()).eval()
    batches = data((256, 4))
    made = edited(model, batches, prune("0", 5))
    values = [tensor.clone() for tensor in made.model.state_dict().values()]

    def tempting(seen, unseen, scale, *, bias):
        change = least(seen, unseen, scale, bias=bias)
        change.bias[0, 3] = 1000.0
        monkeypatch.setattr(type(unseen), "left", lambda _sums, change, _scale: 2.0 - (change is not None))
        return change

    least = whole.best_change
    monkeypatch.setattr(whole, "best_change", tempting)
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.error_after <= found.error_before
    assert found.notes == ("2: as before, because new values by least squares would raise the error of the outputs.",)
    assert all(torch.equal(*pair) for pair in zip(values, made.model.state_dict().values(), strict=True))


def test_single_samples_in_several_batches_are_split_by_the_batch_and_one_alone_is_too_few():
    torch.manual_seed(0)
    model = nn.Sequential(mixed(nn.Linear(4, 8), 4), nn.Linear(8, 3)).eval()
    batches = data(*[(1, 4)] * 24)
    made = edited(model, batches, prune("0", 4))
    found = repair(copy.deepcopy(made.model), model, made.edits, batches, steps=LEAST)
    assert found.error_after < 0.01
    alone = Calibration(batches=batches.batches[:1])
    found = repair(made.model, model, made.edits, alone, steps=LEAST)
    assert found.notes == (
        "1 was not fitted again: the calibration data give it 1 row; more batches or samples are needed.",
    )


class Head(nn.Module):
    """A head that shares its weight with the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix = nn.Embedding(11, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.words.weight

    def forward(self, words: Tensor) -> Tensor:
        """Look up, mix, look up backwards."""
        return self.head(self.mix(self.words(words)))


def test_a_tied_weight_is_left_and_a_note_says_so():
    torch.manual_seed(0)
    model = Head().eval()
    batches = Calibration(batches=(Call((torch.randint(11, (4, 6)),)),))
    edit = edited(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), data((2, 3)), prune("0", 3)).edits[0]
    kept = type(edit.kept[0])(layer="head", side="in", indices=tuple(range(8)))
    twin = copy.deepcopy(model)
    found = repair(twin, model, [type(edit)(step=edit.step, before=(), after=(), kept=(kept,))], batches, steps=LEAST)
    assert found.notes == (
        "head was not fitted again: its weight is tied to words.weight, which would change with it.",
    )
    assert torch.equal(twin.words.weight, model.words.weight)


def test_a_parametrized_weight_is_left_and_a_note_says_so():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).eval()
    batches = data((64, 3))
    made = edited(model, batches, prune("0", 3))
    nn.utils.parametrizations.weight_norm(made.model[1])
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert "1 was not fitted again: its weight is no plain parameter" in found.notes[0]


def test_rows_that_are_not_numbers_are_left_out():
    torch.manual_seed(0)
    model = nn.Sequential(mixed(nn.Linear(4, 8), 4), nn.Linear(8, 3)).eval()
    batches = data((256, 4))
    batches.batches[0].args[0][5] = math.nan
    made = edited(model, data((8, 4)), prune("0", 4))
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert [refit.rows for refit in found.refits] == [255]
    assert output_error(made.model, model, data((64, 4), seed=3)) < 1e-3


def test_the_work_can_be_ended_between_layers_and_leaves_no_hook():
    torch.manual_seed(0)
    model = nn.Sequential(mixed(nn.Linear(6, 12), 6), mixed(nn.Linear(12, 12), 6), nn.Linear(12, 3)).eval()
    batches = data((64, 6))
    made = edited(model, batches, prune("0", 6), prune("1", 6))
    before, asked = state_of(made.model), []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        repair(made.model, model, made.edits, batches, steps=LEAST, check=check)
    assert before.modules == state_of(made.model).modules


def test_little_memory_and_no_memory_of_answers_give_the_same(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    batches = data((32, 2, 9, 9), (32, 2, 9, 9))
    results: list[tuple[Repaired, dict[str, Tensor]]] = []
    for room in (2**30, 1):
        monkeypatch.setattr(remembered, "_BYTES", room)
        monkeypatch.setattr(whole, "_KEPT_BYTES", room)
        made = edited(model, batches, prune("0", 4), prune("2", 4))
        results.append((repair(made.model, model, made.edits, batches, steps=LEAST), made.model.state_dict()))
    (one, values), (other, others) = results
    assert one.refits == other.refits
    assert all(torch.equal(values[name], others[name]) for name in values)


def test_the_forward_goes_no_farther_than_it_must(monkeypatch):
    torch.manual_seed(0)
    ran = []

    class Counting(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            ran.append(1)
            return value

    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4), Counting()).eval()
    batches = data((64, 4))
    made = edited(model, batches, prune("0", 5))
    counts = []
    original = passes.sums_of

    def counted(*args):
        before = len(ran)
        found = original(*args)
        counts.append(len(ran) - before)
        return found

    monkeypatch.setattr(whole, "sums_of", counted)
    repair(made.model, model, made.edits, batches, steps=LEAST)
    assert counts == [0]


def test_each_edit_has_the_repair_that_its_transformation_names(monkeypatch):
    from effwidgets.transforms.base import TRANSFORMS

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).eval()
    batches = data((64, 4))
    made = edited(model, batches, prune("0", 5))
    kind = type(TRANSFORMS["channel_prune"])
    for named, steps in ((frozenset({"bias"}), ("bias",)), (frozenset({"batch_norm"}), ()), (frozenset(), ())):
        monkeypatch.setattr(kind, "repairs", named, raising=False)
        assert repair(copy.deepcopy(made.model), model, made.edits, batches).steps == steps


def test_the_time_and_the_errors_are_in_the_record():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).eval()
    batches = data((64, 4))
    made = edited(model, batches, prune("0", 5))
    found = repair(made.model, model, made.edits, batches, steps=LEAST)
    assert found.seconds > 0
    assert repr(found).startswith("Repaired(least_squares in ")
    assert f"output error {found.error_before:.3g} before, {found.error_after:.3g} after" in found.notes[0]
    assert Repaired.from_json(found.to_json()) == found


def test_an_unknown_kind_of_repair_is_answered_with_the_known_ones():
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(UnknownNameError, match=r"There is no kind of repair 'magic'.*'least_squares'"):
        repair(model, model, [], data((2, 4)), steps=["magic"])
    with pytest.raises(InputError, match="steps is the text 'bias'"):
        repair(model, model, [], data((2, 4)), steps="bias")
    assert repair(model, model, [], data((2, 4))).steps == ()
