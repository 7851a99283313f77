"""A block left out: what it was given goes on, and all that is promised of the rest is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.transforms.apply import Applied, apply
from effwidgets.transforms.blocks.drop_block import DROP_BLOCK
from effwidgets.transforms.foresee import estimate_plan, foresee

EXACT = ("params", "param_bytes", "macs", "backward_macs")


@pytest.fixture(autouse=True)
def _same_networks() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


class Residual(nn.Module):
    """Two layers and a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(8, 12)
        self.narrow = nn.Linear(12, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(torch.relu(self.widen(x)))


class Gated(nn.Module):
    """A block that can be called in other ways than with one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(
        self, x: torch.Tensor, more: torch.Tensor | None = None, *, as_pair: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        made = x + self.inner(x) + (0 if more is None else more)
        return (made, made) if as_pair else made


class Around(nn.Module):
    """Calls its block in a way of its own."""

    def __init__(self, call: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.block = Gated()
        self.head = nn.Linear(8, 3)
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.call(self.block, self.stem(x)))


def _deep() -> nn.Module:
    blocks = nn.Sequential(*(Residual() for _ in range(3)))
    return nn.Sequential(nn.Linear(4, 8), blocks, nn.Linear(8, 3)).eval()


def _inputs(rows: int = 6) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))


def _drop(*names: str) -> tuple[Step, ...]:
    return tuple(Step(transform="drop_block", layers=(name,)) for name in names)


def _cut(name: str, channels: int) -> Step:
    return Step(transform="channel_prune", layers=(name,), settings=settings(channels=channels, criterion="l2"))


def _applied(model: nn.Module, *steps: Step, **more: object) -> Applied:
    done = apply(model, Plan(steps=steps), _inputs(), **{"repair": False, **more})
    assert not done.skipped, done.skipped
    return done


def _said(model: nn.Module, inputs: torch.Tensor | None = None) -> dict[str, Site | Skip]:
    found = DROP_BLOCK.sites(profile(model.eval(), _inputs() if inputs is None else inputs))
    return {one.layers[0]: one for one in found}


def test_the_model_answers_as_if_the_block_added_nothing() -> None:
    model = _deep()
    done = _applied(model, *_drop("1.1"))
    assert type(done.model.get_submodule("1.1")) is nn.Identity
    stem, blocks, head = model
    right = head(blocks[2](blocks[0](stem(_inputs()))))
    assert torch.equal(done.model(_inputs()), right)


@pytest.mark.parametrize(
    "steps",
    [
        _drop("1.0"),
        _drop("1"),
        _drop("1.0", "1.2"),
        _drop("1.2", "1.1", "1.0"),
        (*_drop("1.1"), _cut("0", 5)),
        (_cut("0", 5), *_drop("1.1")),
        (*_drop("1.0", "1.1"), _cut("0", 3), _cut("1.2.widen", 7)),
    ],
    ids=lambda steps: ", ".join(f"{step.transform} {step.layers[0]}" for step in steps),
)
def test_a_plan_with_blocks_left_out_is_foreseen(steps: tuple[Step, ...]) -> None:
    done = _applied(_deep(), *steps)
    told = estimate_plan(done.before, Plan(steps=steps))
    for part in EXACT:
        assert getattr(told, part) == getattr(done.profile.cost, part) - getattr(done.before.cost, part), part


def test_the_stream_keeps_its_channels_without_what_the_block_held_of_them() -> None:
    known = profile(_deep(), _inputs())
    ahead = foresee(known, _drop("1.1")[0])
    now = profile(_applied(_deep(), *_drop("1.1")).model, _inputs())

    def members(groups: object) -> set[tuple[str, int, frozenset[tuple[str, str]]]]:
        return {
            (one.name, one.channels, frozenset((member.layer, member.side) for member in one.members)) for one in groups
        }

    assert members(ahead.groups) == members(now.groups)
    assert [layer.name for layer in ahead.layers] == [layer.name for layer in now.layers]


def test_a_block_that_adds_its_input_is_advised_and_one_that_does_not_is_not() -> None:
    plain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    said = _said(nn.Sequential(nn.Linear(4, 8), Residual(), plain, nn.Linear(8, 3)))
    residual, other = said["1"], said["2"]
    assert isinstance(residual, Site)
    assert isinstance(other, Site)
    assert (residual.advised, residual.warnings) == (True, ())
    assert not other.advised
    assert "Nothing in it adds its input" in other.warnings[0]


def test_a_branch_that_somebody_else_adds_is_not_advised() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(8)
            self.inner = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.inner(self.norm(x))

    said = _said(nn.Sequential(nn.Linear(4, 8), Branch(), nn.Linear(8, 3)))
    advised = {name: one.advised for name, one in said.items() if isinstance(one, Site)}
    assert advised == {"1": True, "1.inner": False}


def test_of_a_row_of_blocks_each_is_advised_and_not_the_row() -> None:
    said = _said(_deep())
    advised = {name: one.advised for name, one in said.items() if isinstance(one, Site)}
    assert advised == {"1": False, "1.0": True, "1.1": True, "1.2": True}
    assert "one by one" in said["1"].warnings[0]  # type: ignore[union-attr]  # a site, as was just seen


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda block, x: block(block(x)), "it runs 2 times in one forward"),
        (lambda block, x: block(x, x), "it takes 2 tensors"),
        (lambda block, x: block(x, as_pair=True)[0], "it returns 2 tensors"),
        (lambda block, x: block(x=x), "it is called with, or returns, something else than one plain tensor"),
        (lambda _block, x: x, None),
    ],
    ids=["twice", "two tensors", "a pair", "by name", "not at all"],
)
def test_a_block_that_an_identity_cannot_stand_for_says_why(
    call: Callable[[nn.Module, torch.Tensor], torch.Tensor], reason: str | None
) -> None:
    said = _said(Around(call))
    if reason is None:
        assert "block" not in said  # it multiplied nothing
        return
    assert isinstance(said["block"], Skip)
    assert said["block"].reason.startswith(reason)


def test_what_stands_first_stays_where_the_backward_behind_it_would_change() -> None:
    said = _said(nn.Sequential(Residual(), nn.Linear(8, 3)), torch.ones(2, 8))
    assert isinstance(said["0"], Skip)
    assert said["0"].reason.startswith("nothing before it learns")
    frozen = nn.Sequential(Residual(), nn.Linear(8, 3)).requires_grad_(requires_grad=False)
    assert isinstance(_said(frozen, torch.ones(2, 8))["0"], Site)


def test_modules_without_anything_to_multiply_are_not_listed() -> None:
    quiet = nn.Sequential(nn.LayerNorm(8), nn.GELU(), nn.Dropout())
    assert set(_said(nn.Sequential(nn.Linear(4, 8), quiet, nn.Linear(8, 3)))) == {""}


def test_a_block_whose_weight_stands_elsewhere_too_stays() -> None:
    model = _deep()
    model[1][1].widen.weight = model[1][0].widen.weight
    said = _said(model)
    assert isinstance(said["1.0"], Skip)
    assert "tied to" in said["1.0"].reason


def test_a_block_with_hooks_is_left_out_of_the_plan_with_the_reason() -> None:
    model = _deep()
    model[1][1].register_forward_hook(lambda _module, _args, output: output)
    done = apply(model, Plan(steps=_drop("1.1")), _inputs(), repair=False)
    assert not done.edits
    assert "hooks" in done.skipped[0].reason


class ReadFromOutside(nn.Module):
    """Reads a weight inside of its block itself."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.block = Residual()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.stem(x)) * self.block.widen.weight.mean()


class FirstOfRow(nn.Module):
    """Its block hands on a row of one tensor, of which the first is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.block = Row()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.stem(x))[0]


class Row(Residual):
    """Returns a tuple of one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (super().forward(x),)  # type: ignore[return-value]  # as older transformers do


@pytest.mark.parametrize("kind", [ReadFromOutside, FirstOfRow])
def test_a_block_that_is_used_in_another_way_than_by_a_call_is_left_standing(kind: type[nn.Module]) -> None:
    model = kind().eval()
    done = apply(model, Plan(steps=_drop("block")), _inputs(), repair=False)
    assert not done.edits
    assert type(done.model.get_submodule("block")) is not nn.Identity


def test_least_squares_behind_the_block_makes_up_for_some_of_it() -> None:
    data = torch.randn(256, 4, generator=torch.Generator().manual_seed(7))
    done = _applied(_deep(), *_drop("1.1"), calibration=data, repair=True)
    assert done.repaired is not None
    # The layers behind it that read the stream, and the one that writes into the same sum.
    assert {refit.layer for refit in done.repaired.refits} == {"1.2.widen", "1.2.narrow", "2"}
    assert done.repaired.error_before is not None
    assert done.repaired.error_after is not None
    # On real networks a third to a tenth is left; half is far from what chance would do.
    assert done.repaired.error_after < 0.5 * done.repaired.error_before
