"""Health against plain autograd, on the handwritten digits of scikit-learn, with faults that are planted."""

import copy
import math
import random
import threading
from importlib import import_module

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from effwidgets.checkup import activity
from effwidgets.checkup.health import health
from effwidgets.errors import InputError, ModelError
from effwidgets.records import Health
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, specimen

NO_BACKWARD = "The loss depends on no parameter that asks for a gradient, so there was no backward."
NEAR = 1e-5  # float32 sums of some thousand terms, taken in another order


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32)[:256] / 16, torch.tensor(data.target)[:256]


class Perceptron(nn.Module):
    """ReLU as a function, tanh as a module, sigmoid as a method."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 24)
        self.bend = nn.Tanh()
        self.third, self.last = nn.Linear(24, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = functional.relu(self.first(x))
        x = self.bend(self.second(x))
        return self.last(self.third(x).sigmoid())


@pytest.fixture(scope="module")
def trained(digits):
    """A perceptron after 60 steps: it has learnt the digits, and nothing in it is broken."""
    torch.manual_seed(0)
    model, (x, y) = Perceptron(), digits
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    return model.requires_grad_()


def kinds(found, *severities):
    return {one.kind for one in found.findings if one.severity in (severities or ("problem", "warning"))}


def test_norms_are_those_of_plain_autograd(trained, digits):
    x, y = digits
    found = health(trained, x, target=y)
    twin = copy.deepcopy(trained)
    loss = functional.cross_entropy(twin(x), y)
    loss.backward()
    assert found.loss == "cross-entropy with the target"
    assert found.loss_value == pytest.approx(loss.item(), rel=NEAR)
    for name in ("first", "second", "third", "last"):
        own = list(twin.get_submodule(name).parameters())
        held = [tensor.detach().double() for tensor in own]
        weights = math.sqrt(sum(float((tensor**2).sum()) for tensor in held))
        slopes = math.sqrt(sum(float((tensor.grad.double() ** 2).sum()) for tensor in own))
        layer = found.layer(name)
        assert layer.weight_norm == pytest.approx(weights, rel=NEAR)
        assert layer.gradient_norm == pytest.approx(slopes, rel=NEAR)
        assert layer.update_ratio == pytest.approx(slopes / weights, rel=NEAR)
        assert (layer.gradient, layer.calls) == ("present", 1)
        assert layer.params == sum(tensor.numel() for tensor in own)


def test_the_signal_is_the_gradient_by_the_outputs_and_outputs_have_their_mean_square(trained, digits):
    x, y = digits
    found = health(trained, x, target=y)
    first = trained.first(x).detach().requires_grad_()
    bent = trained.bend(trained.second(functional.relu(first)))
    bent.retain_grad()
    functional.cross_entropy(trained.last(trained.third(bent).sigmoid()), y).backward()
    assert found.layer("first").signal_norm == pytest.approx(float(first.grad.norm()), rel=NEAR)
    assert found.layer("bend").signal_norm == pytest.approx(float(bent.grad.norm()), rel=NEAR)
    assert found.layer("bend").output_rms == pytest.approx(float(bent.detach().square().mean().sqrt()), rel=NEAR)


def test_a_trained_model_without_faults_has_no_problems(trained, digits):
    found = health(trained, digits[0], target=digits[1])
    assert kinds(found, "problem") == set()
    assert [(one.function, one.layer, one.after, one.units, one.seen) for one in found.activities] == [
        ("relu", "", "first", 32, 256),
        ("tanh", "bend", "second", 24, 256),
        ("sigmoid", "", "third", 16, 256),
    ]


@pytest.mark.parametrize("count", [5, 32])
def test_planted_dead_units_are_counted_and_the_layers_before_them_have_no_gradient(trained, digits, count):
    model = copy.deepcopy(trained)
    with torch.no_grad():
        before = int((functional.relu(model.first(digits[0])) == 0).all(0)[count:].sum())
        model.first.bias[:count] = -1000.0
    found = health(model, digits[0], target=digits[1])
    [relu] = [one for one in found.activities if one.function == "relu"]
    assert (relu.dead, relu.units) == (count + before, 32)
    assert found.layer("").dead == relu.dead
    [said] = [one for one in found.findings if one.kind == "dead"]
    assert f"{count + before} of 32 units of relu" in said.text
    assert "'first'" in said.text
    if count == 32:
        assert said.severity == "problem"
        assert found.layer("first").gradient == "zero"
        assert "zero" in kinds(found)


def test_a_planted_saturated_tanh_is_found(trained, digits):
    model = copy.deepcopy(trained)
    with torch.no_grad():
        model.second.bias[:9] = 500.0
    found = health(model, digits[0], target=digits[1])
    outputs = model.bend(model.second(functional.relu(model.first(digits[0]))))
    expected = int((outputs.abs() >= 0.999).all(0).sum())
    assert expected >= 9
    assert found.layer("bend").saturated == expected
    assert found.layer("bend").dead == 0
    assert "saturated" in kinds(found)


def test_a_tanh_whose_values_are_nearly_all_at_one_limit_or_the_other_is_said(trained, digits):
    model = copy.deepcopy(trained)
    with torch.no_grad():
        model.second.weight *= 1000.0
    found = health(model, digits[0], target=digits[1])
    [tanh] = [one for one in found.activities if one.function == "tanh"]
    outputs = model.bend(model.second(functional.relu(model.first(digits[0]))))
    # The bound stands on the input, where float32 has its digits left; the output rounds at 0.999 to 6e-8.
    assert tanh.flat == pytest.approx(float((outputs.abs() >= 0.999).double().mean()), abs=1e-3)
    assert tanh.flat > 0.9
    assert "saturated" in kinds(found)


def test_dead_channels_of_a_small_convolutional_net_are_counted_by_channel(digits):
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU6(),
        nn.Flatten(), nn.Linear(216, 10),
    )  # fmt: skip
    with torch.no_grad():
        model[0].bias[:3] = -1000.0
        model[3].bias[0], model[3].bias[1] = -1000.0, 1000.0
    found = health(model, digits[0].view(-1, 1, 8, 8), target=digits[1])
    first, second = found.activities
    assert (first.units, first.dead, first.seen) == (8, 3, 256 * 64)
    assert (second.function, second.units, second.dead, second.saturated) == ("relu6", 6, 1, 1)


def test_in_a_transformers_layout_the_units_are_the_last_place_of_the_shape():
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 5))
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    [one] = health(model, torch.rand(4, 9, 5)).activities
    assert (one.function, one.units, one.dead, one.seen) == ("gelu", 7, 2, 36)


def test_behind_a_permutation_the_channels_are_found_where_they_went():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 11, 1), nn.Linear(11, 2)

        def forward(self, x):
            return self.head(functional.silu(self.conv(x).permute(0, 2, 3, 1)))

    model = Last()
    with torch.no_grad():
        model.conv.bias[4] = -100.0
    [one] = health(model, torch.rand(2, 3, 4, 5)).activities
    assert (one.units, one.dead, one.seen) == (11, 1, 40)


@given(
    st.sampled_from(["relu", "sigmoid", "tanh", "hardsigmoid", "relu6", "softplus", "elu"]), st.floats(-9, 9, width=32)
)
def test_a_unit_counts_as_flat_where_its_output_is_within_a_thousandth_of_a_limit(name, value):
    limits = {"relu": (0.0,), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "hardsigmoid": (0.0, 1.0)}
    limits |= {"relu6": (0.0, 6.0), "softplus": (0.0,), "elu": (-1.0,)}
    hard = name in ("relu", "hardsigmoid", "relu6")

    class One(nn.Module):
        def forward(self, x):
            return getattr(functional, name)(x)

    x = torch.full((3, 1), value)
    found = health(One(), x).activities[0]
    out = getattr(functional, name)(x.double())[0].item()
    gap = min(abs(out - limit) for limit in limits[name])
    if abs(gap - 1e-3) < 1e-5 and not hard:
        return  # on the border either answer is right
    flat = gap == 0 if hard else gap < 1e-3
    assert (found.dead + found.saturated == 1) is flat, (value, out)


@given(st.sampled_from(["celu", "elu"]), st.floats(0.25, 8, width=32), st.floats(-60, 2, width=32))
def test_an_exponential_unit_is_flat_where_its_slope_is_a_thousandth_whatever_its_alpha(name, alpha, value):
    x = torch.full((3, 1), value)
    unit = {"celu": nn.CELU, "elu": nn.ELU}[name](alpha)
    found = health(unit, x).activities[0]
    y = x.double().requires_grad_()
    # The slope at minus infinity is 0, just below zero that of the exponential: 1, and alpha.
    slope = torch.autograd.grad(unit(y).sum(), y)[0][0].item() / (alpha if name == "elu" else 1.0)
    if value < 0 and abs(slope - 1e-3) < 1e-5:
        return  # on the border either answer is right
    assert (found.saturated == 1) is (value < 0 and slope < 1e-3), (alpha, value, slope)
    assert found.dead == 0


def test_a_clamp_by_a_tensor_is_no_activation_function_and_no_fault_of_the_model():
    class Clamp(nn.Module):
        def forward(self, x):
            return torch.clamp(x, min=torch.zeros(3)) + x.clamp(0)

    found = health(Clamp(), -torch.ones(5, 3))
    assert [(one.function, one.dead) for one in found.activities] == [("clamp", 3)]
    assert found.notes == (NO_BACKWARD,)


def test_what_the_watch_cannot_look_at_is_a_note_and_no_error_of_the_model(monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("this class has no comparison")

    monkeypatch.setitem(activity._FUNCTIONS, "relu", fail)
    # The package hands on a function of the same name as the module.
    monkeypatch.setattr(import_module("effwidgets.checkup.health"), "square", fail)
    found = health(nn.Sequential(nn.ReLU()), torch.ones(2, 3, requires_grad=True))
    assert [note for note in found.notes if "no comparison" in note] == [
        "Layer '0': the inputs of relu could not be looked at (RuntimeError: this class has no comparison).",
        "Layer '0': an output could not be looked at (RuntimeError: this class has no comparison).",
        "The model itself: an output could not be looked at (RuntimeError: this class has no comparison).",
    ]


def test_the_default_device_of_the_caller_changes_nothing():
    model, x = nn.Sequential(nn.Linear(4, 3), nn.Tanh()), torch.ones(5, 4)
    here = health(model, x)
    with torch.device("meta"):
        assert health(model, x) == here


def test_a_softmax_that_is_sure_of_every_row_is_saturated_and_one_with_many_keys_is_not():
    class Attend(nn.Module):
        def forward(self, scores):
            return scores.softmax(-1)

    sure = torch.zeros(4, 3, 2000)
    sure[..., 5] = 50.0
    assert health(Attend(), sure).activities[0].saturated == 3
    assert health(Attend(), torch.zeros(4, 3, 2000)).activities[0].saturated == 0


def test_frozen_disconnected_and_unused_layers_are_told_apart():
    class Torn(nn.Module):
        def __init__(self):
            super().__init__()
            self.cut, self.kept, self.still, self.spare = (nn.Linear(4, 4) for _ in range(4))
            self.still.requires_grad_(requires_grad=False)

        def forward(self, x):
            return self.kept(self.still(x)) + self.cut(x).detach()

    found = health(Torn(), torch.rand(8, 4))
    verdicts = {name: found.layer(name).gradient for name in ("cut", "kept", "still", "spare")}
    assert verdicts == {"cut": "disconnected", "kept": "present", "still": "frozen", "spare": "not run"}
    assert kinds(found, "warning") == {"disconnected", "not run"}
    assert kinds(found, "note") == {"frozen"}


class Root(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(torch.log(self.first(x) * 0 - 1))


class Scale(nn.Module):
    def forward(self, x):
        return x / 0


def test_where_numbers_first_are_none_is_named():
    inside = health(nn.Sequential(nn.Linear(4, 4), Scale(), nn.Linear(4, 4)), torch.rand(3, 4))
    assert inside.loss_value is None
    assert inside.layer("1").nonfinite_outputs == 12
    assert inside.layer("0").nonfinite_outputs == 0
    assert "first appear in '1'" in inside.findings[0].text
    assert inside.layer("1").output_rms is None
    own = health(Root(), torch.rand(3, 4))
    assert "first appear in the model itself" in own.findings[0].text
    came = health(nn.Linear(4, 2), torch.full((3, 4), math.nan))
    assert "first appear in the inputs" in came.findings[0].text
    broken = nn.Linear(4, 2)
    broken.weight.data[0, 0] = math.inf
    assert "1 entries in the model itself" in health(broken, torch.rand(3, 4)).findings[0].text


def test_gradients_that_are_none_while_outputs_are_finite_name_the_layer_before_the_cause():
    class Rooted(nn.Module):
        def __init__(self):
            super().__init__()
            self.early, self.late = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x):
            return self.late((self.early(x) * 0).abs().sqrt())

    found = health(Rooted(), torch.rand(3, 4))
    assert found.loss_value is not None
    assert found.layer("early").gradient == "not finite"
    assert found.layer("early").nonfinite_gradients > 0
    assert found.layer("late").gradient == "present"
    assert "outputs of 'early'" in found.findings[0].text


def test_a_loss_that_is_none_while_outputs_are_finite_is_said():
    found = health(nn.Linear(4, 2), torch.rand(3, 4), loss=lambda out: (out.sum() * 0).log())
    assert "the loss is not" in found.findings[0].text


def chain(depth, function, gain):
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(32, 32, bias=False), function())]
    model = nn.Sequential(*layers)
    for layer in model[::2]:
        nn.init.orthogonal_(layer.weight, gain)
    return model


@pytest.mark.parametrize(("function", "gain", "kind"), [(nn.Sigmoid, 1, "vanishing"), (nn.Identity, 3, "exploding")])
def test_a_gradient_that_vanishes_or_explodes_along_a_chain_is_said_with_its_factor(function, gain, kind):
    found = health(chain(12, function, gain), torch.rand(64, 32) - 0.5)
    said = [one for one in found.findings if one.kind == kind and "gradient" in one.text]
    assert said
    assert "'0'" in said[0].text
    if kind == "exploding":
        # Orthogonal weights of gain 3 change every norm by exactly 3.
        assert "× 3 a layer over" in said[0].text
        assert any("outputs grow" in one.text for one in found.findings)


def test_a_chain_that_keeps_its_norms_is_healthy():
    assert health(chain(12, nn.Identity, 1), torch.rand(64, 32) - 0.5).findings == ()


@pytest.mark.parametrize("one", MODELS, ids=lambda one: one.name)
def test_the_models_of_the_zoo_run_and_stay_what_they_are(one):
    model, x = one.build(), one.inputs()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = state_of(model)
    found = health(model, x)
    assert before.differences(state_of(model)) == []
    assert [layer.name for layer in found.layers] == [name for name, _ in model.named_modules()]
    assert kinds(found, "problem") == set()
    assert Health.from_json(found.to_json()) == found


@pytest.mark.parametrize("train", [True, False])
def test_dropout_and_batch_norm_run_in_the_mode_that_was_asked_for_and_twice_the_same(train):
    model = nn.Sequential(nn.Linear(4, 50), nn.BatchNorm1d(50), nn.Dropout(0.5), nn.Linear(50, 1)).eval()
    x = torch.rand(32, 4)
    before = state_of(model)
    first, second = health(model, x, train=train), health(model, x, train=train)
    assert first == second
    assert first.train is train
    assert before.differences(state_of(model)) == []
    # Batch norm in training mode makes unit variance; its running variance of 1 does not.
    assert (abs(first.layer("1").output_rms - 1) < 1e-2) is train


def test_on_another_thread_the_random_states_of_the_process_stay_alone():
    states = []

    def work():
        health(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), torch.rand(8, 4), train=False)
        states.append(random.getstate())

    state = random.getstate()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert states == [state]


class Own(nn.Module):
    """Returns its own loss, as the models of transformers do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": None if labels is None else functional.cross_entropy(logits, labels), "logits": logits}


def test_the_loss_is_the_callers_then_the_targets_then_the_models_own():
    x, y = torch.rand(8, 4), torch.arange(8) % 3
    own = health(Own(), {"x": x, "labels": y})
    assert own.loss == "the loss that the model returned"
    assert "signed mean" in health(Own(), x).loss
    assert health(nn.Linear(4, 3), x, loss=nn.CrossEntropyLoss(), target=y).loss == "CrossEntropyLoss with the target"
    assert health(nn.Linear(4, 3), x, target=torch.rand(8, 3)).loss == "the mean squared error to the target"
    pixels = health(nn.Conv2d(2, 5, 1), torch.rand(3, 2, 4, 4), target=torch.zeros(3, 4, 4, dtype=torch.long))
    assert pixels.loss == "cross-entropy with the target"
    tokens = health(nn.Linear(4, 5), torch.rand(2, 6, 4), target=torch.zeros(2, 6, dtype=torch.long))
    assert tokens.loss == "cross-entropy with the target"


def test_the_signed_mean_sees_through_a_softmax_where_a_plain_mean_would_not():
    model = nn.Sequential(nn.Linear(4, 5), nn.Softmax(-1))
    x = torch.rand(8, 4)
    assert health(model, x, loss=lambda out: out.mean()).layer("0").gradient_norm == pytest.approx(0, abs=1e-7)
    assert health(model, x).layer("0").gradient_norm > 1e-2


def test_what_cannot_be_a_loss_is_refused_with_what_came():
    x = torch.rand(8, 4)
    with pytest.raises(InputError, match=r"shape \(8, 3\).*mean"):
        health(nn.Linear(4, 3), x, loss=lambda out: out)
    with pytest.raises(InputError, match="raised ZeroDivisionError"):
        health(nn.Linear(4, 3), x, loss=lambda out: 1 / 0)
    with pytest.raises(InputError, match=r"target has shape \(5,\)"):
        health(nn.Linear(4, 3), x, target=torch.zeros(5, dtype=torch.long))
    with pytest.raises(InputError, match="loss is int"):
        health(nn.Linear(4, 3), x, loss=3)
    with pytest.raises(InputError, match="meta"):
        health(nn.Linear(4, 3, device="meta"), x)
    with pytest.raises(ModelError, match=r"layer '1'.*called with 8 × 3"):
        health(nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)), x)


def test_complex_outputs_have_a_signed_mean_too():
    class Spectrum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 8)

        def forward(self, x):
            return torch.fft.rfft(self.layer(x))

    assert health(Spectrum(), torch.rand(8, 4)).layer("layer").gradient == "present"


def test_a_backward_that_does_not_exist_is_a_note():
    class Stuck(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no way back")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return Stuck.apply(self.layer(x))

    found = health(Model(), torch.rand(3, 4))
    assert found.layer("layer").gradient == "unknown"
    assert any("no way back" in note for note in found.notes)


def test_tied_weights_count_once_and_a_sparse_gradient_has_its_norm():
    gpt = health(specimen("gpt").build(), specimen("gpt").inputs())
    model = specimen("gpt").build()
    assert sum(layer.params for layer in gpt.layers) == sum(tensor.numel() for tensor in model.parameters())
    sparse = nn.Sequential(nn.Embedding(10, 3, sparse=True), nn.Linear(3, 1))
    x = torch.tensor([[1, 1, 2]])
    dense = copy.deepcopy(sparse)
    dense[0].sparse = False
    found, other = (health(model, x, loss=lambda out: out.sum()).layer("0") for model in (sparse, dense))
    assert found.gradient_norm == pytest.approx(other.gradient_norm, rel=NEAR)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc"])
def test_a_sparse_weight_of_each_layout_and_a_layer_that_returns_it_are_looked_at(layout):
    class Mix(nn.Module):
        def __init__(self):
            super().__init__()
            weight = torch.diag(torch.tensor([1.0, math.inf, 0.0, 3.0]))
            self.weight = nn.Parameter(weight.to_sparse(layout=getattr(torch, layout)), requires_grad=False)
            self.through = nn.Identity()
            self.last = nn.Linear(4, 2)

        def forward(self, x):
            self.through(self.weight)
            return self.last(x)

    found = health(Mix(), torch.rand(3, 4))
    assert found.layer("through").nonfinite_outputs == 1
    assert found.layer("last").gradient == "present"
    assert found.notes == ()


def test_a_layer_that_the_forward_copies_takes_nothing_else_with_it():
    copied = []

    class Neighbour(nn.Module):
        def __deepcopy__(self, memo):
            copied.append("neighbour")
            return Neighbour()

    class Copies(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.neighbour = nn.Linear(4, 3), Neighbour()

        def forward(self, x):
            copied.clear()  # of what was copied before the forward ran
            twin = copy.deepcopy(self.layer)
            seen.extend(copied)
            return twin(x) + self.layer(x)

    seen = []
    found = health(Copies(), torch.rand(5, 4))
    assert seen == []
    assert found.layer("layer").calls == 1
