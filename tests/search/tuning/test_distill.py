"""A compressed model learns from the dense one."""

from __future__ import annotations

import copy
import dataclasses
import random
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from effwidgets.errors import Cancelled, InputError, ModelError, UnknownNameError
from effwidgets.search.tuning.distill import distill
from effwidgets.search.tuning.options import DistillOptions

CROSS_ENTROPY = nn.functional.cross_entropy


def net(*, dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)
        ).eval()


def worse(model, by=0.5):
    """A copy whose last layer is off."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model[-1].weight.mul_(by)
    return model


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = drawn(120, 6)
Y = net()(X).argmax(1).detach()
TRY = DistillOptions(lr=0.01, batch_size=16)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def softmax(row):
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def kullback(teacher, model, x):
    """The mean divergence of the softmax, in double precision and term by term."""
    with torch.no_grad():
        his, mine = (part.eval()(x).double().numpy() for part in (teacher, model))
    total = 0.0
    for p, q in zip(his, mine, strict=True):
        pairs = zip(softmax(p), softmax(q), strict=True)
        total += sum(a * np.log(a / b) for a, b in pairs)
    return total / len(x)


class Named(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, place):
        return X[place], Y[place]


class Pairs:
    def __iter__(self):
        return iter(zip(X.split(16), Y.split(16), strict=True))


FORMS = {
    "a tensor": lambda: X,
    "a pair": lambda: (X, Y),
    "arrays": lambda: (X.numpy(), Y.numpy()),
    "a list of batches": lambda: list(X.split(16)),
    "a list of pairs": lambda: list(zip(X.split(16), Y.split(16), strict=True)),
    "batches read once": lambda: iter(X.split(16)),
    "a mapping": lambda: {"input": X, "labels": Y},
    "a list of mappings": lambda: [{"input": x, "labels": y} for x, y in zip(X.split(16), Y.split(16), strict=True)],
    "a data set of tensors": lambda: TensorDataset(X, Y),
    "a data set": Named,
    "a loader": lambda: DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True),
    "a loader in order": lambda: DataLoader(TensorDataset(X, Y), batch_size=16),
    "a loader of its own kind": Pairs,
}


@pytest.mark.parametrize("form", FORMS)
def test_data_in_every_form_bring_the_student_nearer_to_its_teacher(form):
    teacher, student = net(), worse(net())
    before = kullback(teacher, student, drawn(200, 6, seed=1))
    tuned = distill(FORMS[form](), epochs=4, options=TRY).trained(student, teacher)
    # The last layer is halved; at this rate a third of the way back is a matter of 25 steps.
    assert kullback(teacher, student, drawn(200, 6, seed=1)) < 0.8 * before
    assert tuned.epochs == 4
    assert 24 <= tuned.steps <= 32
    assert len(tuned.losses) == 4
    assert len(tuned.held_out) == 5


def test_labels_help_where_there_is_a_loss_for_them():
    # The teacher is wrong about everything, so what the student gets right it has from the labels.
    wrong = worse(net(), by=-1.0)
    students = [copy.deepcopy(net()), copy.deepcopy(net())]
    for alpha, student in zip((0.0, 1.0), students, strict=True):
        options = dataclasses.replace(TRY, alpha=alpha, lr=0.05)
        distill((X, Y), epochs=6, loss=CROSS_ENTROPY, validation=(X, Y), options=options)(student, wrong)
    right = [float((student.eval()(X).argmax(1) == Y).float().mean()) for student in students]
    assert right[0] > 0.9
    assert right[1] < 0.6


def test_a_regression_comes_nearer_to_the_values_of_the_teacher():
    teacher = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    student = worse(teacher)
    x, new = drawn(160, 6), drawn(99, 6, seed=4)
    with torch.no_grad():
        targets = teacher(x)[:, 0]  # (160,), which the loss alone would spread over all pairs
        before = (student(new) - teacher(new)).square().mean()
    distill((x, targets), epochs=5, loss=nn.functional.mse_loss, options=TRY)(student, teacher)
    with torch.no_grad():
        assert (student(new) - teacher(new)).square().mean() < 0.3 * before


def test_the_same_seed_gives_the_same_model_in_a_thread_and_another_seed_another():
    teacher = net(dropout=0.3)

    def train(seed, into):
        student = worse(teacher)
        loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
        distill(loader, options=TRY).with_seed(seed)(student, teacher)
        into.append(state(student))

    found = []
    train(5, found)
    for seed in (5, 6):
        thread = threading.Thread(target=train, args=(seed, found))
        thread.start()
        thread.join()
    first, again, other = found
    assert equal(first, again)
    assert not equal(first, other)


def test_random_states_are_left_alone_that_of_the_loader_too():
    own = torch.Generator().manual_seed(1)
    loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True, generator=own)
    teacher = net(dropout=0.3)
    before = torch.get_rng_state(), own.get_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    distill(loader, options=TRY)(worse(teacher), teacher)
    after = torch.get_rng_state(), own.get_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_a_thread_that_trains_leaves_the_numbers_of_the_others_alone():
    teacher = net(dropout=0.3)
    torch.manual_seed(8)
    alone = torch.rand(400)
    torch.manual_seed(8)
    thread = threading.Thread(target=lambda: distill((X, Y), epochs=6, options=TRY)(worse(teacher), teacher))
    thread.start()
    beside = [torch.rand(1)]
    while thread.is_alive() and len(beside) < 400:
        beside.append(torch.rand(1))
    thread.join()
    beside += [torch.rand(1) for _ in range(400 - len(beside))]
    assert torch.equal(torch.cat(beside), alone)


def test_the_teacher_and_the_flags_of_both_are_left_as_they_were():
    teacher, student = net(), worse(net())
    teacher[1].train()
    student[1].eval()
    student[0].train()
    before, flags = state(teacher), [[part.training for part in model.modules()] for model in (teacher, student)]
    means = student[1].running_mean.clone()
    distill(X, options=TRY)(student, teacher)
    assert equal(before, state(teacher))
    assert [[part.training for part in model.modules()] for model in (teacher, student)] == flags
    assert not torch.equal(means, student[1].running_mean), "batch norms learn their statistics in training mode"
    assert all(parameter.grad is None for parameter in (*teacher.parameters(), *student.parameters()))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in (*teacher.modules(), *student.modules()))


def test_frozen_parameters_and_pruned_weights_stay_as_they_are():
    teacher, student = net(), worse(net())
    student[0].bias.requires_grad_(False)
    with torch.no_grad():
        student[0].weight[:, ::2] = 0
    frozen = student[0].bias.clone()
    distill(X, options=TRY)(student, teacher)
    assert torch.equal(student[0].bias, frozen)
    assert not student[0].bias.requires_grad
    assert not student[0].weight[:, ::2].any()
    assert student[0].weight[:, 1::2].all()


def test_a_training_that_only_does_harm_leaves_the_model_as_it_came():
    teacher = net()
    student = copy.deepcopy(teacher)  # nothing to learn: each step leads away
    before = state(student)
    tuned = distill(X, options=dataclasses.replace(TRY, lr=3.0)).trained(student, teacher)
    assert tuned.best_epoch == 0
    assert equal(before, state(student))


class Breaking(nn.Module):
    """A loss that turns to NaN at its third call in training."""

    def __init__(self, good):
        super().__init__()
        self.left = good

    def forward(self, answer, labels):
        self.left -= answer.requires_grad
        return CROSS_ENTROPY(answer, labels) * (torch.nan if self.left < 0 else 1)


def test_a_loss_that_is_no_longer_finite_stops_and_leaves_the_best_weights():
    teacher, student = net(), worse(net(), by=0.2)
    tuned = distill((X, Y), epochs=9, loss=Breaking(10), options=TRY).trained(student, teacher)
    assert "nan at step" in tuned.stopped
    assert 0 < tuned.best_epoch <= 10 / 7 + 0.001  # ten good steps of seven an epoch
    assert all(bool(tensor.isfinite().all()) for tensor in student.state_dict().values())


def test_it_stops_where_nothing_improves_any_more():
    teacher = net()
    student = copy.deepcopy(teacher)
    tuned = distill(X, epochs=50, options=dataclasses.replace(TRY, patience=2)).trained(student, teacher)
    assert tuned.stopped == "no better for 2 epochs"
    assert tuned.epochs == tuned.best_epoch + 2 < 50


def test_it_is_judged_by_the_validation_data_where_these_are_given():
    teacher, student = net(), worse(net())
    new = drawn(50, 6, seed=7)  # as many batches as before, and other answers to the same places
    expected = kullback(teacher, student, new)
    options = dataclasses.replace(TRY, temperature=1.0)
    tuned = distill(X, validation=new, options=options).trained(student, teacher)
    assert tuned.samples == len(X), "nothing is held out of the training data then"
    assert tuned.held_out[0] == pytest.approx(expected, rel=1e-4)  # float32 beside double
    assert tuned.best_loss == pytest.approx(kullback(teacher, student, new), rel=1e-4)


def test_a_hook_stops_it_within_one_forward():
    teacher, student = net(), worse(net())
    forwards = []

    def stop(_module, _inputs):
        forwards.append(1)
        if len(forwards) == 4:
            raise Cancelled("enough")

    handle = student.register_forward_pre_hook(stop)
    with pytest.raises(Cancelled, match="enough"):
        distill(X, options=TRY)(student, teacher)
    handle.remove()
    assert len(forwards) == 4
    assert not any(part.training for part in student.modules())
    assert all(parameter.grad is None for parameter in student.parameters())


def test_progress_is_told_step_by_step():
    heard = []
    tuned = distill(X, epochs=2, options=TRY).trained(worse(net()), net(), progress=heard.append)
    assert [progress.done for progress in heard] == list(range(1, tuned.steps + 1))
    assert {progress.planned for progress in heard} == {tuned.steps}


def test_less_than_an_epoch_is_a_part_of_the_steps():
    whole = distill(X, epochs=3, options=TRY)
    assert whole.briefly.epochs == 1
    assert whole.trained(worse(net()), net()).steps == 21  # 108 samples in 7 batches
    half = distill(X, epochs=0.5, options=TRY).trained(worse(net()), net())
    assert half.steps == 4
    assert half.epochs == pytest.approx(0.571, abs=1e-3)


def test_data_of_another_precision_and_from_inference_mode_are_taken():
    with torch.inference_mode():
        x = X.double() * 1
        y = Y * 1
    tuned = distill((x, y.to(torch.uint8)), loss=CROSS_ENTROPY, options=TRY).trained(worse(net()), net())
    assert tuned.held_out[-1] < tuned.held_out[0]


def test_it_trains_inside_of_inference_mode_too():
    teacher, student = net(), worse(net())
    with torch.inference_mode():
        tuned = distill(X, options=TRY).trained(student, teacher)
    assert tuned.best_epoch > 0


@dataclass
class Answer:
    hidden: torch.Tensor
    logits: torch.Tensor


class Rich(nn.Module):
    """Answers an object, or a dictionary, with logits among other things."""

    def __init__(self, inner, kind):
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, input_ids, attention_mask=None):
        del attention_mask
        hidden = self.inner[:-1](input_ids)
        parts = {"hidden": hidden[:, : 8 if self.training else 4], "logits": self.inner[-1](hidden)}
        return self.kind(**parts)


@pytest.mark.parametrize("kind", [Answer, dict])
def test_of_an_answer_with_logits_only_these_are_compared(kind):
    teacher, student = Rich(net(), kind), Rich(worse(net()), kind)
    batches = [
        {"input_ids": x, "attention_mask": torch.ones(len(x)), "labels": y}
        for x, y in zip(X.split(16), Y.split(16), strict=True)
    ]
    tuned = distill(batches, loss=CROSS_ENTROPY, options=TRY).trained(student, teacher)
    assert tuned.held_out[-1] < 0.9 * tuned.held_out[0]


def test_a_model_of_two_inputs_says_so_by_an_example():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x, scale):
            return self.layer(x) * scale

    teacher = Two()
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student.layer.weight.mul_(0.5)
    loader = DataLoader(TensorDataset(X, torch.full((120, 1), 2.0), Y), batch_size=16)
    options = dataclasses.replace(TRY, like=(X[:1], torch.ones(1, 1)))
    tuned = distill(loader, loss=CROSS_ENTROPY, options=options).trained(student, teacher)
    assert tuned.held_out[-1] < tuned.held_out[0]


def test_batches_that_cannot_be_joined_are_trained_on_as_they_are():
    torch_net = nn.LSTM(4, 3, batch_first=True)
    student = copy.deepcopy(torch_net)
    with torch.no_grad():
        student.weight_ih_l0.mul_(0.5)
    batches = [drawn(8, length, 4, seed=length) for length in range(3, 13)]
    tuned = distill(batches, epochs=4, options=TRY).trained(student, torch_net)
    assert tuned.samples == 72  # one batch of ten is held out
    assert tuned.held_out[-1] < 0.7 * tuned.held_out[0]


def test_both_see_the_augmented_batch_and_it_is_the_same_for_the_same_seed():
    seen = []

    def shift(call, generator):
        moved = call.args[0] + torch.rand((), generator=generator)
        seen.append(moved)
        return type(call)((moved,))

    teacher, found = net(), []
    handle = teacher.register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))
    students = [worse(net()), worse(net())]
    for student in students:
        distill(X, options=dataclasses.replace(TRY, augment=shift)).with_seed(2)(student, teacher)
    handle.remove()
    assert all(any(mine is his for his in found) for mine in seen)
    assert equal(*(state(student) for student in students))


@pytest.mark.parametrize("decay", [0.5, 0.95])
def test_a_running_mean_of_the_weights_is_kept_in_their_place(decay):
    teacher, student = net(), worse(net())
    options = dataclasses.replace(TRY, average=decay, held_out=0.0)
    tuned = distill(X, options=options).trained(student, teacher)
    assert tuned.best_loss < tuned.held_out[0]
    plain = worse(net())
    distill(X, options=dataclasses.replace(options, average=0.0))(plain, teacher)
    assert not torch.equal(plain[0].weight, student[0].weight)


def test_layers_inside_are_compared_also_where_pruning_left_fewer_channels():
    teacher = net()
    pruned = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.0), nn.Linear(5, 3))
    options = dataclasses.replace(TRY, layers=("2", "4"))
    tuned = distill(X, epochs=5, options=options).trained(pruned, teacher)
    assert not tuned.notes
    assert tuned.held_out[-1] < 0.8 * tuned.held_out[0]


def test_a_layer_that_the_student_has_no_more_is_left_out_with_a_note():
    teacher, student = net(), worse(net())
    del student[3]  # what follows moves up, so there is no "4" any more
    tuned = distill(X, options=dataclasses.replace(TRY, layers=("2", "4"))).trained(student, teacher)
    assert tuned.notes == ("4 is not in the student, so it is not compared",)
    with pytest.raises(UnknownNameError, match="'nowhere'"):
        distill(X, options=dataclasses.replace(TRY, layers=("nowhere",)))(student, net())


def broken():
    yield X[:16]
    raise OSError("disk on fire")


class Broken:
    def __iter__(self):
        return broken()

    def __len__(self):
        return 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Broken(), r"failed after 1 batches with OSError: disk on fire"),
        ([], r"empty list"),
        (X[:0], r"no sample"),
        (DataLoader(TensorDataset(X[:0])), r"no batch"),
        ((X, Y[:7]), r"120 samples and labels of shape \(7,\)"),
        (3, r"are int; a tensor"),
        ("train", r"are str; a tensor"),
    ],
)
def test_data_that_cannot_be_trained_on_are_named(data, message):
    with pytest.raises(InputError, match=message):
        distill(data, options=TRY)(worse(net()), net())


def test_labels_that_the_loss_does_not_take_are_named():
    options = dataclasses.replace(TRY, batch_size=24, held_out=0.0)
    train = distill((X, torch.zeros(120, 5)), loss=CROSS_ENTROPY, options=options)
    with pytest.raises(InputError, match=r"loss failed with .*answer of shape \(24, 3\) and labels of shape \(24, 5\)"):
        train(worse(net()), net())
    with pytest.raises(InputError, match=r"loss returned shape \(\d+,\)"):
        distill((X, Y), loss=lambda answer, _: answer.sum(1), options=TRY)(worse(net()), net())


def test_a_teacher_that_is_the_student_is_refused():
    model = net()
    half = nn.Sequential(model[0], nn.Linear(16, 3))
    for teacher in (model, half):
        with pytest.raises(InputError, match=r"share parameters.*deepcopy"):
            distill(X)(model, teacher)


def test_a_model_with_nothing_to_train_is_refused():
    for model in (net().requires_grad_(False), nn.Identity()):
        with pytest.raises(InputError, match="nothing to train"):
            distill(X)(model, net())


def test_answers_that_are_not_finite_say_whose_they_are():
    sick = worse(net(), by=torch.nan)
    with pytest.raises(ModelError, match="The teacher answers"):
        distill(X)(net(), sick)
    before = state(sick)
    with pytest.raises(ModelError, match="The model answers"):
        distill(X)(sick, net())
    assert before.keys() == state(sick).keys()


def test_answers_of_other_shapes_are_refused():
    with pytest.raises(ModelError, match=r"The model answers 12 × 4 and the teacher 12 × 3"):
        distill(X)(nn.Linear(6, 4), net())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature is 0"),
        ({"alpha": 1.5}, "from 0 to 1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"layers": "block"}, "a tuple of layer paths"),
        ({"held_out": True}, "held_out is True"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        DistillOptions(**settings)


def test_an_unknown_kind_of_answer_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="logits"):
        DistillOptions(kind="logit")


@pytest.mark.parametrize(
    ("given", "message"),
    [({"epochs": 0}, "epochs is 0"), ({"epochs": "3"}, "epochs is '3'"), ({"loss": 3}, "loss is int")],
)
def test_what_distill_is_given_is_looked_at_at_once(given, message):
    with pytest.raises(InputError, match=message):
        distill(X, **given)


def test_it_travels_to_another_process():
    cloudpickle = pytest.importorskip("cloudpickle")
    sent = distill(
        (X, Y), epochs=2, loss=lambda answer, labels: 2 * CROSS_ENTROPY(answer, labels), options=TRY
    ).with_seed(4)
    came = cloudpickle.loads(cloudpickle.dumps(sent))
    students = [worse(net()), worse(net())]
    for found, student in zip((sent, came), students, strict=True):
        found(student, net())
    assert equal(*(state(student) for student in students))


def test_checkpointed_blocks_train_without_touching_the_random_state_of_the_process():
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    teacher = net(dropout=0.3)
    plain, wrapped = worse(teacher), worse(teacher)
    wrapped[3] = checkpoint_wrapper(wrapped[3])
    kept = wrapped[3].checkpoint_fn
    before = torch.get_rng_state()
    for student in (plain, wrapped):
        distill(X, options=TRY).with_seed(3)(student, teacher)
    assert torch.equal(before, torch.get_rng_state())
    assert wrapped[3].checkpoint_fn is kept
    assert torch.equal(plain[0].weight, wrapped[0].weight)
