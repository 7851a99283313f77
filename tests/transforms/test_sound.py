"""What is asked of a model before anything is tried on it."""

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling.calls import as_call
from effwidgets.records import Plan, Step, settings
from effwidgets.search import explore, suggest
from effwidgets.testing.untouched import state_of
from effwidgets.transforms import apply
from effwidgets.transforms.sound import check_answers

PLAN = Plan(steps=(Step(transform="low_rank", layers=("0",), settings=settings(rank=2)),))


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


@pytest.fixture
def x():
    return torch.randn(4, 16, generator=torch.Generator().manual_seed(0))


def test_a_model_on_meta_can_be_profiled_but_not_changed_and_each_verb_says_so():
    with torch.device("meta"):
        model, x = chain(), torch.empty(4, 16)
    for verb in (
        lambda: suggest(model, x),
        lambda: apply(model, PLAN, x),
        lambda: explore(model, x, evaluate=lambda _: 1.0),
    ):
        with pytest.raises(InputError, match=r"0.weight stands on the meta device"):
            verb()


@pytest.mark.parametrize("verb", ["suggest", "apply"])
def test_a_weight_that_is_nan_is_found_by_name(verb, x):
    model = chain()
    with torch.no_grad():
        model[2].weight.fill_(float("nan"))
    before = state_of(model)
    with pytest.raises(ModelError, match=r"nothing but infinities and NaN.*layer '2'"):
        suggest(model, x) if verb == "suggest" else apply(model, PLAN, x)
    assert before.differences(state_of(model)) == []


def test_nan_that_comes_with_the_inputs_is_not_blamed_on_a_layer(x):
    with pytest.raises(ModelError, match="they begin in the inputs"):
        check_answers(chain(), as_call(torch.full_like(x, float("nan"))))


def test_an_empty_batch_is_refused(x):
    with pytest.raises(InputError, match="at least one"):
        suggest(chain(), x[:0])


@pytest.mark.parametrize("verb", ["suggest", "apply"])
def test_calibration_data_that_do_not_fit_are_named_with_the_layer(verb, x):
    wrong = torch.ones(4, 15)
    with pytest.raises(ModelError, match=r"calibration data.*layer '0'.*4 × 15"):
        suggest(chain(), x, calibration=wrong) if verb == "suggest" else apply(chain(), PLAN, x, calibration=wrong)


class Masked(nn.Module):
    """Some of its answers are minus infinity, as those of a model that rules out classes."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = chain()

    def forward(self, x):
        return self.chain(x).masked_fill(torch.tensor([False, False, True, False]), -torch.inf)


def test_masked_answers_are_measured_on_the_entries_that_are_numbers(x):
    model = Masked().eval()
    found = suggest(model, x)
    assert found.suggestions
    assert all(0 < one.error < 2 for one in found)
    plain = {one.step.settings: one.error for one in suggest(model.chain, x)}
    assert plain  # the same search without the mask finds places too
    done = apply(model, found.plan(0), x, calibration=x)
    assert done.edits[0].error is not None
    assert not done.skipped
