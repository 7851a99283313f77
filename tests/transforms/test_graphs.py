"""Graphs carry their own code, keep their names in copies, and are copied quickly for shadows."""

from __future__ import annotations

import copy
import pickle
import threading

import torch
from torch import Tensor, nn

from effwidgets import profile
from effwidgets.profiling.shadow import make_shadow, share
from effwidgets.transforms.graphs import graph_of


class _Template(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("shift", torch.ones(3))
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x @ self.weight) + self.shift * 2


def test_a_buffer_is_read_in_each_forward() -> None:
    made = graph_of(_Template(), "Fire")
    x = torch.ones(1, 3)
    before = made(x)
    with torch.no_grad():
        made.get_buffer("shift").add_(1)
    torch.testing.assert_close(made(x), before + 2)


def test_a_pickle_names_nothing_of_ours() -> None:
    made = graph_of(_Template(), "Fire")
    pickled = pickle.dumps(made)
    assert b"effwidgets" not in pickled
    twin = pickle.loads(pickled)  # noqa: S301  our own bytes
    assert type(twin).__name__ == "Fire"
    assert torch.equal(twin(torch.ones(1, 3)), made(torch.ones(1, 3)))


def test_copies_and_profiles_keep_the_name() -> None:
    model = nn.Sequential(graph_of(_Template(), "Fire"))
    twice = copy.deepcopy(copy.deepcopy(model))
    for found in (model, twice, share(model), make_shadow(model).model):
        assert type(found[0]).__name__ == "Fire"
    assert profile(twice, torch.ones(1, 3)).layer("0").kind == "Fire"


def test_a_shared_copy_has_children_of_its_own_and_the_same_code() -> None:
    model = nn.Sequential(graph_of(_Template(), "Fire"))
    twin = share(model)
    assert twin[0].graph is model[0].graph
    assert twin[0].weight is model[0].weight
    twin[0].inner = nn.Identity()
    x = torch.ones(1, 3)
    torch.testing.assert_close(twin(x), x @ model[0].weight + 2)
    torch.testing.assert_close(model(x), model[0].inner(x @ model[0].weight) + 2)


class _Watchful(_Template):
    # Looks, while its forward is written down, at what all modules of the process share.
    seen: tuple[object, object] = (None, None)

    def forward(self, x: Tensor) -> Tensor:
        type(self).seen = (nn.Module.__call__, nn.Module.__getattr__)
        return super().forward(x)


def test_writing_a_graph_leaves_the_calls_of_other_modules_alone() -> None:
    # torch.fx puts its own in their place while it traces, and a model that trains on another thread goes through them.
    plain = (nn.Module.__call__, nn.Module.__getattr__)
    graph_of(_Watchful(), "Fire")
    assert _Watchful.seen == plain


def test_two_threads_can_write_graphs_at_once() -> None:
    # With a tracer of torch.fx most of them fail, and what it puts around the calls of all modules stays for ever.
    failures: list[Exception] = []
    plain = (nn.Module.__call__, nn.Module.__getattr__)

    def write() -> None:
        try:
            for _ in range(60):
                graph_of(_Template(), "Fire")(torch.ones(1, 3))
        except Exception as error:  # noqa: BLE001  any of them is a finding
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (nn.Module.__call__, nn.Module.__getattr__) == plain


def test_tensors_that_the_forward_does_not_read_are_left_out() -> None:
    template = _Template()
    template.idle = nn.Parameter(torch.zeros(2))
    assert [name for name, _ in graph_of(template, "Fire").named_parameters()] == [
        "weight",
        "inner.weight",
        "inner.bias",
    ]
