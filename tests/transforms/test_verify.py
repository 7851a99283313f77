"""Look at a model after an edit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effwidgets.errors import VerifyError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import parameters_only
from effwidgets.profiling.shadow import share
from effwidgets.records import Edit, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.transforms.factorize.low_rank import LOW_RANK
from effwidgets.transforms.verify import look_at, verify, verify_together

STEP = Step(transform="low_rank", layers=("fc",), settings=settings(rank=3))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.fc(x)


def edited(model: nn.Module, rank: int = 3) -> tuple[nn.Module, nn.Module, Edit]:
    work, original = share(model), model
    step = Step(transform="low_rank", layers=("fc",), settings=settings(rank=rank, anyway=True))
    edit = LOW_RANK.rewrite(work, step, parameters_only(work))
    return work, original, LOW_RANK.fit(work, original, edit, None)


def look(model: nn.Module, original: nn.Module, edit: Edit, size: int = 8) -> None:
    verify(LOW_RANK, edit, model, original=original, call=Call((torch.ones(2, size),)))


def test_a_right_edit_passes_and_nothing_of_the_model_moves():
    work, original, edit = edited(Net())
    before = state_of(work)
    look(work, original, edit)
    assert before.differences(state_of(work)) == []


def test_a_layer_that_runs_behind_the_back_of_the_module_tree_is_caught():
    class Twice(Net):
        def __init__(self) -> None:
            super().__init__()
            self.kept = [self.fc]

        def forward(self, x: Tensor) -> Tensor:
            return self.kept[0](self.fc(x))

    with pytest.raises(VerifyError, match="from those that the edit should give"):
        look(*edited(Twice()))


def test_new_infinities_are_caught():
    work, original, edit = edited(Net())
    with torch.no_grad():
        work.fc[0].weight[0, 0] = float("nan")
    with pytest.raises(VerifyError, match=r"fc\.0\.weight has entries"):
        look(work, original, edit)


def test_an_answer_of_another_shape_is_caught():
    work, original, edit = edited(Net())
    work.fc.add_module("2", nn.Linear(8, 5))
    with pytest.raises(VerifyError, match=r"an output is 2 × 5 .*; 2 × 8 "):
        look(work, original, edit)


def test_weights_that_were_tied_must_stay_so():
    class Tied(Net):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(self.fc(x)))

    work, original, edit = edited(Tied())
    work.b.weight = nn.Parameter(work.a.weight.detach().clone())
    with pytest.raises(VerifyError, match=r"a\.weight and b\.weight shared one parameter"):
        look(work, original, edit)


def test_a_parameter_that_no_gradient_reaches_is_caught():
    work, original, edit = edited(Net(), rank=8)
    first, second = work.fc
    work.fc.forward = lambda x: second(first(x).detach())
    with pytest.raises(VerifyError, match=r"no gradient reaches fc\.0\.weight"):
        look(work, original, edit)


def test_a_layer_that_had_no_gradient_before_needs_none_afterwards():
    class Detached(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.fc(x)

    look(*edited(Detached()))


def test_a_forward_that_draws_random_numbers_is_compared_on_the_same_ones():
    class Noisy(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x + torch.randn(x.shape))

    net = edited(Noisy())
    state = torch.get_rng_state()
    look(*net)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_rounding_of_the_dtype_is_no_fault(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(6))).to(dtype)
    model.fc = model[2]
    work, original, edit = edited(model, rank=20)
    verify(LOW_RANK, edit, work, original=original, call=Call((torch.randn(4, 64).to(dtype),)))


def test_rounding_inside_an_autocast_is_no_fault():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.fc = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.fc(torch.relu(self.before(x))).float()

    torch.manual_seed(0)
    look(*edited(Mixed(), rank=5), size=16)


class Coarse(type(LOW_RANK)):
    """Rounds more than its witness, as a kernel of eight bits does."""

    tolerance = 0.5


def rounding(module: nn.Sequential) -> None:
    # To whole twentieths: off by a few hundredths of what is answered, and gradients flow.
    first, second = module

    def forward(x: Tensor) -> Tensor:
        exact = second(first(x))
        return exact + (torch.round(20 * exact) / 20 - exact).detach()

    module.forward = forward


def test_a_technique_may_say_how_far_its_kernel_rounds():
    torch.manual_seed(0)
    work, original, edit = edited(Net())
    rounding(work.fc)
    call = Call((torch.ones(2, 8),))
    before = look_at(original, call)
    verify_together([(Coarse(), edit)], work, original=original, call=call, before=before)
    with pytest.raises(VerifyError, match="from those that the edit should give"):
        verify_together([(LOW_RANK, edit)], work, original=original, call=call, before=before)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.fc = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.first(x)))


def blocked() -> tuple[nn.Module, nn.Module, Edit]:
    # The new layer lets no gradient through, and has no parameter that would want one.
    work, original, edit = edited(Two(), rank=8)
    first, second = work.fc
    work.fc.requires_grad_(False)
    work.fc.forward = lambda x: second(first(x).detach())
    return work, original, edit


def test_a_layer_that_cuts_gradients_off_from_what_lies_before_is_caught():
    with pytest.raises(VerifyError, match=r"no gradient reaches first\.bias, first\.weight any more"):
        look(*blocked())


def test_a_technique_for_inference_may_do_so_and_a_note_tells_it():
    class Inference(type(LOW_RANK)):
        inference_only = True

    work, original, edit = blocked()
    call = Call((torch.ones(2, 8),))
    found = verify_together([(Inference(), edit)], work, original=original, call=call, before=look_at(original, call))
    assert found.notes == (
        f"No gradient reaches first.bias, first.weight any more, because of {edit.step}: train before that step.",
    )
    assert (
        verify_together(
            [(Inference(), edit)], work, original=frozen(original), call=call, before=look_at(original, call)
        ).notes
        == ()
    )


def frozen(model: nn.Module) -> nn.Module:
    twin = share(model)
    for name in ("weight", "bias"):
        setattr(twin.first, name, nn.Parameter(getattr(twin.first, name).detach(), requires_grad=False))
    return twin


def test_several_edits_are_looked_at_together_and_the_answers_handed_on():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    work, done = share(model), []
    for name in ("0", "2"):
        step = Step(transform="low_rank", layers=(name,), settings=settings(rank=2))
        edit = LOW_RANK.rewrite(work, step, parameters_only(work))
        done.append((LOW_RANK, LOW_RANK.fit(work, model, edit, None)))
    call = Call((torch.randn(3, 8),))
    found = verify_together(done, work, original=model, call=call, before=look_at(model, call))
    assert torch.equal(found.answers[0], work(call.args[0]))
    with torch.no_grad():
        work[2][1].weight.copy_(torch.randn(8, 2))  # a product still: only the answers before tell nothing
    verify_together(done, work, original=model, call=call, before=look_at(model, call))
    rounding(work[2])
    with pytest.raises(VerifyError, match="2 steps together: the outputs are"):
        verify_together(done, work, original=model, call=call, before=look_at(model, call))
