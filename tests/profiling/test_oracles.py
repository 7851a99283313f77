"""Bytes against three other people's: torch's tracker, autograd's own packing, and the allocator's events."""

import gc

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import ProfilerActivity
from torch.profiler import profile as kineto

from effwidgets.profiling import ProfileOptions, profile
from effwidgets.profiling.calls import as_call, run, tensors_in
from effwidgets.profiling.shadow import make_shadow
from effwidgets.testing.zoo import MODELS, resnet18, specimen
from tests.profiling.test_answers import transformers_models
from tests.profiling.test_macs import FORWARD
from tests.profiling.test_profile import beside_what_stands

QUICK = ProfileOptions(groups=False)
GRU = [name for name in FORWARD if name.startswith(("gru", "rnn"))]
TRANSFORMERS = pytest.mark.parametrize("found", list(transformers_models()), ids=lambda found: found[0])


def their_peak(model, inputs, *, backward):
    """The peak that torch's tracker sees on a shadow of its own."""
    shadow, call = make_shadow(model.eval()), as_call(inputs)
    given = shadow.fake(call)
    for parameter in shadow.model.parameters():
        parameter.requires_grad_()  # it hangs hooks on all of them
    tracker = MemTracker()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with shadow.mode, torch.set_grad_enabled(backward):
            tracker.track_external(shadow.model, *tensors_in(given))
            with tracker:
                out = run(shadow.model, given)
                ends = [tensor for tensor in tensors_in(out) if tensor.requires_grad]
                if backward:
                    torch.autograd.backward(ends, [torch.ones_like(end) for end in ends])
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return beside_what_stands(tracker.get_tracker_snapshot("peak")[torch.device("cpu")], given)


def check_peaks(model, inputs):
    memory = profile(model, inputs, options=QUICK).memory
    assert memory.inference_peak_bytes == their_peak(model, inputs, backward=False)
    assert memory.training_peak_bytes == their_peak(model, inputs, backward=True)


def of_transformers(name):
    return next(found[1:] for found in transformers_models() if found[0] == name)


# Its hooks need all parameters to ask for a gradient, and a shadow cannot answer a question about values.
BEYOND_IT = ("frozen", "half_frozen", "branch")


@pytest.mark.parametrize(
    "found", [found for found in MODELS if found.name not in BEYOND_IT], ids=lambda found: found.name
)
def test_peaks_equal_torchs_tracker_on_the_same_shadow(found):
    check_peaks(found.build(), found.inputs())


@pytest.mark.parametrize("name", GRU)
def test_peaks_of_recurrent_layers_equal_torchs_tracker(name):
    check_peaks(*FORWARD[name][:2])


@pytest.mark.slow
@TRANSFORMERS
def test_peaks_of_models_of_transformers_equal_torchs_tracker(found):
    name, build, inputs = found
    memory = profile(build(), inputs, options=QUICK).memory
    assert memory.inference_peak_bytes == their_peak(build(), inputs, backward=False)
    if name != "t5":
        assert memory.training_peak_bytes == their_peak(build(), inputs, backward=True)


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="the tracker is 1,280 bytes of 69,840 above, in the backward; not explained yet")
def test_the_training_peak_of_a_t5_equals_torchs_tracker():
    build, inputs = of_transformers("t5")
    assert profile(build(), inputs, options=QUICK).memory.training_peak_bytes == their_peak(
        build(), inputs, backward=True
    )


def saved_in_a_real_run(model, inputs):
    """Bytes of the storages that autograd packs, each once, without parameters, buffers and inputs."""
    call = as_call(inputs)
    outside = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), *tensors_in(call))}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in outside:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run(model, call)
    del out
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["residual", "u_net", "transformer_encoder", "gpt", "vit", "squeeze_excite"])
def test_saved_bytes_equal_what_autograd_packs_in_either_mode(name, train):
    found = specimen(name)
    memory = profile(found.build(), found.inputs(), options=ProfileOptions(groups=False, train=train)).memory
    assert memory.saved_bytes == saved_in_a_real_run(found.build().train(train), found.inputs())


@pytest.mark.parametrize("name", GRU)
def test_saved_bytes_of_recurrent_layers_equal_what_autograd_packs(name):
    model, args, _ = FORWARD[name]
    memory = profile(model, args, options=QUICK).memory
    assert memory.saved_bytes == saved_in_a_real_run(model.eval(), args)


@pytest.mark.slow
@TRANSFORMERS
def test_saved_bytes_of_models_of_transformers_equal_what_autograd_packs(found):
    model = found[1]().eval()
    inputs = {name: value for name, value in found[2].items() if name != "attention_mask"}
    assert profile(model, inputs, options=QUICK).memory.saved_bytes == saved_in_a_real_run(model, inputs)


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="transformers asks whether a mask is a FakeTensor, and then keeps one of ones")
def test_saved_bytes_are_those_of_a_real_run_where_the_mask_hides_nothing():
    build, inputs = of_transformers("bert")
    model = build().eval()
    assert profile(model, inputs, options=QUICK).memory.saved_bytes == saved_in_a_real_run(model, inputs)


def allocated_at_most(model, inputs):
    """The most bytes that the allocator gave out beyond what it had given before, by its own events."""
    call = as_call(inputs)
    with torch.no_grad():
        run(model.eval(), call)  # what is made once and stays
        gc.collect()
        with kineto(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            out = run(model, call)
    del out
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def attention():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    return transformers.BertModel(config), {"input_ids": torch.ones(2, 16, dtype=torch.long)}


def perceptron():
    return nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)), torch.zeros(32, 64)


def gru():
    return nn.GRU(32, 64), torch.zeros(5, 4, 32)


@pytest.mark.filterwarnings("ignore")  # the profiler's own
@pytest.mark.parametrize("make", [attention, perceptron, gru])
def test_the_inference_peak_is_what_the_allocator_gave_out(make):
    model, inputs = make()
    most = allocated_at_most(model, inputs)
    ours = profile(model, inputs, options=QUICK).memory.inference_peak_bytes
    assert ours <= most
    # What the kernels take for themselves, and tensors of a few bytes for plain numbers.
    assert most - ours <= 0.02 * most


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["residual", "lstm", "vit", "signal"])
def test_where_kernels_take_workspaces_ours_is_never_above_the_allocator(name):
    found = specimen(name)
    model = found.build()
    assert profile(model, found.inputs(), options=QUICK).memory.inference_peak_bytes <= allocated_at_most(
        model, found.inputs()
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_resnet18_is_never_above_the_allocator():
    model, x = resnet18(), torch.zeros(1, 3, 224, 224)
    assert profile(model, x, options=QUICK).memory.inference_peak_bytes <= allocated_at_most(model, x)
