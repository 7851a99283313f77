"""What a profile says of a model that cannot run as it was called."""

import random
import threading

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, ModelError
from effwidgets.profiling import ProfileOptions, profile
from effwidgets.profiling.calls import as_call
from effwidgets.profiling.failures import real_stand_in
from effwidgets.profiling.profile import parameters_only
from effwidgets.testing.untouched import state_of

MIXED = {
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "transposed convolution": (lambda: nn.ConvTranspose2d(3, 4, 3), (1, 3, 5, 5)),
    "batch norm": (lambda: nn.BatchNorm2d(3), (2, 3, 5, 5)),
    "layer norm": (lambda: nn.LayerNorm(4), (2, 4)),
    "group norm": (lambda: nn.GroupNorm(1, 3), (2, 3, 5, 5)),
}


@pytest.mark.parametrize("kind", MIXED)
def test_inputs_of_another_dtype_are_refused_as_the_model_itself_refuses_them(kind):
    build, shape = MIXED[kind]
    model, x = nn.Sequential(build()), torch.ones(shape, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        model(x)
    with pytest.raises(ModelError, match=r"layer '0'.*called with float64: check the input's dtype"):
        profile(model, x)


def test_norms_may_have_coarser_inputs_than_weights_as_their_kernels_do():
    model, x = nn.LayerNorm(4), torch.ones(2, 4, dtype=torch.bfloat16)
    model(x)
    assert not profile(model, x).notes


def test_a_lazy_layer_is_named_and_told_what_it_needs():
    model = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(2))
    for look in (lambda: profile(model, torch.ones(1, 4)), lambda: parameters_only(model)):
        with pytest.raises(InputError, match=r"Layer '1'.*LazyLinear.*Call the model once"):
            look()


def test_an_attribute_that_cannot_be_copied_is_named_with_its_layer():
    model = nn.Sequential(nn.Linear(4, 4))
    model[0].guard = threading.Lock()
    before = state_of(model)
    with pytest.raises(InputError, match=r"attribute 'guard' of layer '0'.*lock"):
        profile(model, torch.ones(1, 4))
    assert before.differences(state_of(model)) == []


class Chancy(nn.Module):
    """Draws from a generator of its own and keeps an activation with its history."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 2)
        self.generator = torch.Generator().manual_seed(1)
        self.kept = None

    def forward(self, x):
        self.kept = self.first(x)
        return self.last(self.kept + torch.randn(8, generator=self.generator))


def test_a_model_with_a_generator_and_a_kept_activation_is_profiled_and_both_stay_what_they_were():
    model, x = Chancy(), torch.ones(3, 8)
    model(x)
    kept, state = model.kept, model.generator.get_state()
    assert profile(model, x, options=ProfileOptions(groups=False)).cost.macs == 3 * 8 * 8 + 3 * 8 * 2
    assert model.kept is kept
    assert torch.equal(model.generator.get_state(), state)


def test_a_stand_in_on_another_thread_leaves_the_random_states_of_the_process_alone():
    states = []

    def work():
        with real_stand_in(nn.Linear(2, 2), as_call(torch.ones(1, 2))):
            torch.manual_seed(5)  # as a training loop on the main thread would, meanwhile
            random.seed(5)
            states.append((torch.get_rng_state(), random.getstate()))

    before = (torch.get_rng_state(), random.getstate())
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert torch.equal(torch.get_rng_state(), states[0][0])
        assert random.getstate() == states[0][1]
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
