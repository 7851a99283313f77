from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.profiling import Call
from effwidgets.seen.guess import call_from, guess_for, read_shapes


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids):
        return self.head(self.embed(ids))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3)), "1, 3, 32, 32"),
        (nn.Conv1d(2, 4, 3), "1, 2, 64"),
        (nn.Conv3d(1, 4, 3), "1, 1, 16, 32, 32"),
        (nn.ConvTranspose2d(4, 2, 2), "1, 4, 32, 32"),
        (nn.Linear(5, 2), "1, 5"),
        (Tokens(), "1, 16"),
        (nn.TransformerEncoderLayer(8, 2, batch_first=True), "1, 16, 8"),
        (nn.TransformerEncoderLayer(8, 2), "16, 1, 8"),
        (nn.LSTM(6, 3, batch_first=True), "1, 16, 6"),
    ],
)
def test_a_model_runs_with_the_guess_made_for_it(model, shape):
    guess = guess_for(model)
    assert guess.shape == shape
    model.eval()
    call = call_from(model, guess.shape, None)
    model(*call.args, **call.kwargs)


def test_the_note_names_the_layer_and_asks_for_an_edit():
    assert guess_for(nn.Sequential(nn.ReLU(), nn.Linear(5, 2))).note == "guessed from 1; edit it"
    assert guess_for(nn.Linear(5, 2)).note == "guessed from the model itself; edit it"


def test_nothing_is_guessed_where_no_layer_tells_its_width():
    assert guess_for(nn.BatchNorm1d(3)) is None
    assert guess_for(nn.LazyLinear(3)) is None


def test_the_image_size_of_a_config_is_taken_at_its_word():
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    model.config = SimpleNamespace(image_size=224)
    assert guess_for(model).shape == "1, 3, 224, 224"
    model.config.image_size = "large"
    assert guess_for(model).shape == "1, 3, 32, 32"


@pytest.mark.parametrize("text", ["1, 3, 32, 32", "1 3 32 32", "(1, 3, 32, 32)", "1×3×32×32", "[1,3,32,32];"])
def test_shapes_are_read_however_people_write_them(text):
    assert read_shapes(text) == ((1, 3, 32, 32),)


@pytest.mark.parametrize("text", ["", "a, b", "1, -3", "1.5, 2", "1; ; 2", "¹, 2"])
def test_what_is_no_shape_is_answered_with_an_example(text):
    with pytest.raises(InputError, match="1, 3, 32, 32"):
        read_shapes(text)


def test_a_shape_that_no_memory_holds_is_refused():
    with pytest.raises(InputError, match="Give a smaller example"):
        read_shapes("100000, 100000")


def test_indices_are_whole_numbers_and_other_inputs_have_the_models_type():
    assert call_from(Tokens(), "2, 5", None).args[0].dtype == torch.long
    assert call_from(nn.Linear(4, 2).double(), "2, 4", None).args[0].dtype == torch.double


def test_a_call_that_was_seen_keeps_its_values_where_the_shape_is_the_same():
    x, mask = torch.rand(2, 4), torch.ones(4, dtype=torch.bool)
    call = call_from(nn.Linear(4, 2), "3, 4; 4", Call((x,), {"mask": mask}))
    assert tuple(call.args[0].shape) == (3, 4)
    assert call.kwargs["mask"] is mask


def test_with_another_number_of_inputs_the_seen_call_does_not_help():
    call = call_from(nn.Linear(4, 2), "3, 4", Call((torch.rand(2, 4),), {"mask": torch.ones(4)}))
    assert not call.kwargs
    assert tuple(call.args[0].shape) == (3, 4)
