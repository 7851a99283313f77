from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from effwidgets.seen.watch import Watch, shapes_text


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x, *, mask=None, cache=None):
        return self.linear(x if mask is None else x * mask)


@pytest.fixture
def names():
    return {"net": nn.Sequential(nn.Linear(4, 3), nn.ReLU())}


@pytest.fixture
def watch(names):
    watch = Watch(lambda: list(names.values()), most_bytes=1000)
    watch.start()
    watch.start()  # again is no harm: one hook, not two
    yield watch
    watch.stop()


def test_the_last_call_of_a_model_is_remembered_with_its_values(watch, names):
    x = torch.rand(2, 4)
    names["net"](torch.rand(7, 4))
    names["net"](x)
    assert torch.equal(watch.call(names["net"]).args[0], x)
    assert watch.shape(names["net"]) == "2, 4"


def test_what_is_inside_a_model_is_not_remembered(watch, names):
    names["net"](torch.rand(2, 4))
    assert watch.call(names["net"][0]) is None


def test_keyword_arguments_are_remembered(watch, names):
    names["net"] = Masked()
    mask = torch.ones(4)
    names["net"](torch.rand(2, 4), mask=mask)
    call = watch.call(names["net"])
    assert torch.equal(call.kwargs["mask"], mask)
    assert watch.shape(names["net"]) == "2, 4; 4"


def test_a_model_that_joins_the_notebook_later_is_remembered_from_then_on(watch, names):
    late = nn.Linear(4, 2)
    late(torch.rand(1, 4))
    assert watch.call(late) is None
    watch.expect([late])
    late(torch.rand(1, 4))
    assert watch.shape(late) == "1, 4"


def test_a_call_that_failed_is_not_remembered(watch, names):
    with pytest.raises(RuntimeError):
        names["net"](torch.rand(2, 5))
    assert watch.call(names["net"]) is None


def test_of_large_inputs_only_shape_and_type_are_kept(watch, names):
    x = torch.ones(100, 4)
    ref = weakref.ref(x.untyped_storage())
    names["net"](x)
    del x
    gc.collect()
    assert ref() is None
    again = watch.call(names["net"]).args[0]
    assert (tuple(again.shape), again.dtype, float(again.sum())) == ((100, 4), torch.float32, 0.0)


def test_a_slice_of_a_large_tensor_counts_as_the_whole_that_it_keeps_alive(watch, names):
    names["net"](torch.ones(100, 4)[:1])
    assert float(watch.call(names["net"]).args[0].sum()) == 0.0
    assert watch.shape(names["net"]) == "1, 4"


def test_all_models_together_keep_no_more_than_allowed(watch, names):
    names.update({f"net{index}": nn.Linear(4, 2) for index in range(4)})
    for model in names.values():
        model(torch.ones(30, 4))  # 480 bytes each
    kept = [name for name, model in names.items() if float(watch.call(model).args[0].sum())]
    assert len(kept) == 2
    assert kept[-1] == "net3"


def test_a_call_with_something_else_than_tensors_and_plain_values_is_not_kept(watch, names):
    names["net"] = Masked()
    names["net"](torch.rand(2, 4), cache=object())
    assert watch.call(names["net"]) is None
    names["net"](torch.rand(3, 4), cache={"step": 1, "old": [torch.zeros(1), None]})
    assert watch.shape(names["net"]) == "3, 4; 1"


def test_inputs_do_not_keep_the_graph_that_made_them(watch, names):
    x = torch.rand(2, 4, requires_grad=True) * 2
    names["net"](x)
    assert watch.call(names["net"]).args[0].grad_fn is None


def test_a_watch_keeps_no_model_alive(watch, names):
    names["net"](torch.rand(2, 4))
    ref = weakref.ref(names.pop("net"))
    gc.collect()
    assert ref() is None
    assert not [known for known in watch._known.values() if known.ref() is None]


def test_the_model_itself_gets_no_hook_and_the_global_one_is_taken_away(names):
    from torch.nn.modules.module import _global_forward_hooks

    before = dict(_global_forward_hooks)
    watch = Watch(names.values)
    watch.start()
    names["net"](torch.rand(2, 4))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in names["net"].modules())
    watch.stop()
    assert dict(_global_forward_hooks) == before
    assert watch.call(names["net"]) is None


def test_the_output_gradients_and_random_state_are_those_without_a_watch(names):
    x = torch.rand(2, 4)
    plain = names["net"](x)
    state = torch.get_rng_state()
    watch = Watch(names.values)
    watch.start()
    assert torch.equal(names["net"](x), plain)
    assert torch.equal(torch.get_rng_state(), state)
    watch.stop()


def test_models_called_on_many_threads_are_remembered_each_with_its_own_call(watch, names):
    models = [nn.Linear(width, 1) for width in range(1, 9)]
    names.update({str(index): model for index, model in enumerate(models)})

    def work(model):
        for _ in range(50):
            model(torch.zeros(1, model.in_features))

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [watch.shape(model) for model in models] == [f"1, {width}" for width in range(1, 9)]


def test_tensors_of_other_kinds_are_left_alone(watch, names):
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        model = nn.Linear(4, 2)
        names["fake"] = model
        model(torch.zeros(1, 4))
    assert watch.call(model) is None


def test_shapes_are_written_as_people_type_them():
    assert shapes_text(((torch.zeros(1, 3),), {"mask": torch.zeros(())})) == "1, 3; "


def test_nothing_of_the_hook_stays_behind():
    from torch.nn.modules import module as hooks

    watch = Watch(list)
    watch.start()
    watch.stop()
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_hooks_with_kwargs
    assert not hooks._global_forward_hooks_always_called
