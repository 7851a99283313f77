"""What is sent once to each worker: models with all that they may hold, functions that no module knows."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from effwidgets.errors import InputError, SearchError
from effwidgets.search.crews.kit import Kit, digest_of
from effwidgets.search.crews.pickles import from_bytes, to_bytes

X = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.b = nn.Linear(8, 8)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


def parametrized():
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(8, 8)),
        parametrizations.spectral_norm(nn.Linear(8, 8)),
        parametrizations.orthogonal(nn.Linear(8, 8)),
    )


def twice_parametrized():
    class Half(nn.Module):
        def forward(self, x):
            return x / 2

    layer = parametrizations.weight_norm(nn.Linear(8, 8))
    nn.utils.parametrize.register_parametrization(layer, "weight", Half())
    nn.utils.parametrize.register_parametrization(layer, "bias", Half())
    return layer


def hooked_of_old():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated by torch, and in many models
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 8)), nn.utils.spectral_norm(nn.Linear(8, 8)))


def hooked():
    model = Tied()
    factor = 3.0
    model.a.register_forward_hook(lambda module, args, output: output * factor)
    return model


def lazy():
    model = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d())
    model(X)
    return model


MODELS = {
    "weight norm, spectral norm, orthogonal": parametrized,
    "two parametrizations of one weight, one of a bias": twice_parametrized,
    "weight and spectral norm by hooks": hooked_of_old,
    "tied": Tied,
    "traced": lambda: torch.fx.symbolic_trace(Tied()),
    "hooked by a lambda": hooked,
    "lazy": lazy,
    "attention": lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_arrives_with_the_same_answers_names_and_gradients(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    x = X.unsqueeze(0) if name == "attention" else X
    twin = from_bytes(to_bytes(model))
    assert torch.equal(twin(x), model(x))
    assert [key for key, _ in twin.named_parameters()] == [key for key, _ in model.named_parameters()]
    for one in (model, twin):
        one.train()(x).square().sum().backward()
    grads = [
        {key: None if parameter.grad is None else parameter.grad.tolist() for key, parameter in one.named_parameters()}
        for one in (model, twin)
    ]
    assert grads[0] == grads[1]


def test_a_parametrized_model_goes_on_travelling_and_training_after_it_arrived():
    model = parametrized()
    twin = from_bytes(to_bytes(from_bytes(to_bytes(model))))
    assert torch.equal(twin.eval()(X), model.eval()(X))
    with torch.no_grad():
        twin[0].parametrizations.weight.original0.mul_(2)
    assert not torch.equal(twin(X), model(X))  # the weight is computed from what it is parametrized by
    assert type(model[0]).__name__ == "ParametrizedLinear"  # and the one that was sent is as it was


def test_what_is_tied_stays_tied_and_what_parts_share_stays_shared():
    model = Tied()
    twin, weights = from_bytes(to_bytes((model, [model.a.weight])))
    assert twin.a.weight is twin.b.weight is weights[0]
    whole = torch.arange(6.0)
    front, back = from_bytes(to_bytes((whole[:4], whole[2:])))
    front[2] = 50.0
    assert back[0] == 50.0


def test_many_views_of_a_large_tensor_are_sent_once():
    data = torch.zeros(100_000)
    assert len(to_bytes([data[place:] for place in range(20)])) < 2 * data.nbytes


def test_a_function_defined_here_and_what_it_holds_arrive():
    data = torch.arange(3.0)

    def score(model):
        return float(model(data).sum())

    kit = Kit(build=dict, parts={"evaluate": score})
    assert Kit.unpack(kit.pack())["evaluate"](lambda x: x * 2) == 6.0


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()

    def evaluate(model):
        with lock:
            return 0.0

    with pytest.raises(InputError, match=r"evaluate cannot be sent to another process: TypeError.*lock.*executor=None"):
        Kit(build=dict, parts={"model": nn.Linear(1, 1), "evaluate": evaluate}).pack()


def test_a_module_that_a_worker_lacks_is_named_with_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def score(model):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    packed = Kit(build=dict, parts={"evaluate": only_here.score}).pack()
    monkeypatch.undo()
    monkeypatch.delitem(__import__("sys").modules, "only_here")
    with pytest.raises(SearchError, match=r"No module named 'only_here'.*register_pickle_by_value\(only_here\)"):
        Kit.unpack(packed)


def test_a_digest_tells_kits_apart():
    one, other = (Kit(build=dict, parts={"scale": scale}).pack() for scale in (1.0, 2.0))
    assert digest_of(one) == digest_of(bytes(one)) != digest_of(other)
