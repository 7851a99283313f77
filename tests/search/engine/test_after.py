"""What follows the training: folded norms and number formats, fitted to the trained model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets import load
from effwidgets.records import Plan, Step, settings
from effwidgets.search import SearchOptions, explore
from effwidgets.search.engine.after import parted
from tests.search.conftest import low_rank

FOLDS = tuple(Step(transform="fold_bn", layers=pair) for pair in (("stem", "bn0"), ("conv1", "bn1"), ("conv2", "bn2")))
CUT = Step(transform="channel_prune", layers=("conv1",), settings=settings(channels=12, criterion="l2"))
WHOLE = Step(transform="int8", layers=("fc",), settings=settings(mode="dynamic"))
NARROW = Step(transform="bf16", layers=("fc",))


def norms(model):
    return [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]


def label(images, classes=10):
    return torch.arange(len(images)) % classes


def descend(candidate, images):
    """Five steps in training mode, statistics of norms and all."""
    candidate.train()
    optimizer = torch.optim.SGD(candidate.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(candidate(images), label(images)).backward()
        optimizer.step()


@pytest.fixture
def train(images):
    """A training that moves weights and statistics, and notes how many norms it saw."""

    def finetune(candidate, teacher):
        train.norms = len(norms(candidate))
        descend(candidate, images)
        candidate.eval()
        train.outputs = candidate(images).detach()

    train = finetune
    train.norms, train.outputs = -1, None
    return train


@pytest.fixture
def likelihood(images):
    def measure(candidate):
        with torch.no_grad():
            return -float(nn.functional.cross_entropy(candidate(images), label(images)))

    return measure


def searched(model, images, evaluate, train, plan, **more):
    options = SearchOptions(
        plans=(plan,), calibration=[images[:8], images[8:]], finetune=train, score_name="likelihood", **more
    )
    return explore(model, images, evaluate=evaluate, options=options).run()


def test_what_is_trained_ends_with_the_last_step_that_shapes_or_serves_the_training():
    checkpoint = Step(transform="checkpoint", layers=("conv1",))
    assert parted(Plan(steps=(CUT, NARROW, *FOLDS))) == (Plan(steps=(CUT,)), Plan(steps=(NARROW, *FOLDS)))
    assert parted(Plan(steps=(CUT, checkpoint, WHOLE))) == (Plan(steps=(CUT, checkpoint)), Plan(steps=(WHOLE,)))
    assert parted(Plan(steps=FOLDS)) == (Plan(), Plan(steps=FOLDS))
    assert parted(low_rank("fc", 2)) == (low_rank("fc", 2), Plan())


def test_norms_are_there_in_training_and_folded_afterwards_without_a_change(convolutional, images, likelihood, train):
    study = searched(convolutional, images, likelihood, train, Plan(steps=(CUT, *FOLDS)))
    candidate, made = study.candidates()[1], study.apply(1)
    assert candidate.rung == "fine-tuned"
    assert train.norms == 3
    assert norms(made.model) == []
    # Folding is exact but for rounding: float32 keeps seven digits, and the outputs are of the order of one.
    with torch.no_grad():
        torch.testing.assert_close(made.model(images), train.outputs, rtol=1e-4, atol=1e-5)
    assert [edit.step for edit in candidate.edits] == [CUT, *FOLDS]
    assert candidate.cost == made.profile.cost


@pytest.mark.parametrize("keep", [0, 4])
@pytest.mark.parametrize("last", [FOLDS, (WHOLE,), (NARROW,)], ids=["folded", "int8", "bf16"])
def test_what_is_applied_and_what_is_loaded_scores_as_shown(
    convolutional, images, likelihood, train, tmp_path, last, keep
):
    study = searched(
        convolutional, images, likelihood, train, Plan(steps=(CUT, *last)), keep=keep, store=tmp_path / "study"
    )
    candidate, made = study.candidates()[1], study.apply(1)
    assert candidate.rung == "fine-tuned"
    assert likelihood(made.model) == candidate.score()
    assert (made.edits, made.plan) == (candidate.edits, candidate.plan)
    study.save(1, tmp_path / "saved")
    loaded = load(tmp_path / "saved", convolutional)
    assert likelihood(getattr(loaded, "model", loaded)) == candidate.score()


class NormFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.wide = nn.Linear(192, 24), nn.BatchNorm1d(24), nn.Linear(24, 24)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = self.stem(x.flatten(1))
        return self.fc(x + torch.relu(self.wide(self.norm(x))))


def test_a_norm_that_goes_into_the_layer_behind_it_is_trained_first_too(images, likelihood, tmp_path):
    torch.manual_seed(0)
    seen = {}

    def train(candidate, teacher):
        seen["norm"] = type(candidate.norm)
        descend(candidate, images)
        seen["outputs"] = candidate.eval()(images).detach()

    fold = Step(transform="fold_bn", layers=("norm", "wide"))
    plan = Plan(steps=(*low_rank("fc", 6), fold))
    study = searched(NormFirst().eval(), images, likelihood, train, plan, store=tmp_path / "study")
    candidate, made = study.candidates()[1], study.apply(1)
    assert candidate.rung == "fine-tuned"
    assert seen["norm"] is nn.BatchNorm1d
    assert type(made.model.norm) is nn.Identity
    with torch.no_grad():  # exact but for rounding in float32, on outputs of the order of one
        torch.testing.assert_close(made.model(images), seen["outputs"], rtol=1e-4, atol=1e-5)
    assert candidate.cost == made.profile.cost
    study.save(1, tmp_path / "saved")
    loaded = load(tmp_path / "saved", NormFirst)
    assert likelihood(getattr(loaded, "model", loaded).eval()) == candidate.score()


def test_what_no_gradient_passes_is_trained_before(convolutional, images, likelihood, train):
    # A dynamic int8 layer has no weight that can be trained: behind the training it is that of the trained one.
    study = searched(convolutional, images, likelihood, train, Plan(steps=(CUT, WHOLE)))
    with torch.no_grad():
        off = (study.apply(1).model(images) - train.outputs).norm() / train.outputs.norm()
    assert study.candidates()[1].rung == "fine-tuned"
    # Eight bits: about one part in 127 of the largest weight and input each, less in the norm of all.
    assert 0 < float(off) < 0.02


def test_a_search_that_is_resumed_has_the_same_model(convolutional, images, likelihood, train, tmp_path):
    plan = Plan(steps=(CUT, *FOLDS))
    first = searched(convolutional, images, likelihood, train, plan, store=tmp_path / "study")
    again = searched(convolutional, images, likelihood, train, plan, store=tmp_path / "study")
    assert again.candidates()[1].score() == first.candidates()[1].score()
    assert likelihood(again.apply(1).model) == first.candidates()[1].score()
