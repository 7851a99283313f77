"""The numbers of a profile against arithmetic and against other people's trackers; and what it leaves behind: nothing."""

import dataclasses
import gc
import random
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn.utils import prune

from effwidgets.errors import InputError, ModelError, UnknownNameError
from effwidgets.profiling import Call, ProfileOptions, parameters_only, profile
from effwidgets.profiling.calls import map_tensors, run, tensors_in
from effwidgets.profiling.profile import profile_shadow
from effwidgets.profiling.shadow import make_shadow
from effwidgets.records import Cost, Profile
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, resnet18, specimen

QUICK = ProfileOptions(groups=False)
EACH = pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)


@EACH
def test_macs_and_parameters_equal_the_arithmetic_done_by_hand(found):
    seen = profile(found.build(), found.inputs(), options=QUICK)
    assert seen.cost.macs == found.macs
    assert seen.cost.params == found.params
    assert seen.uncounted == ()
    hidden = ("The kernel of lstm keeps a workspace out of sight: memory is at least this.",)
    if found.name == "branch":
        assert [note for note in seen.notes if "asks for values" in note] == list(seen.notes)
    else:
        assert seen.notes == (hidden if found.name == "lstm" else ())


@EACH
def test_own_costs_add_up_to_the_root_and_every_layer_to_its_parent(found):
    seen = profile(found.build(), found.inputs(), options=QUICK)
    assert sum((layer.self_cost for layer in seen.layers), Cost()) == seen.cost
    assert seen.cost == seen.layers[0].cost
    for layer in seen.layers:
        assert sum((child.cost for child in seen.children(layer.name)), layer.self_cost) == layer.cost


@EACH
def test_twice_the_batch_is_twice_the_work_and_the_same_parameters(found):
    call = found.inputs()
    once = profile(found.build(), call, options=QUICK).cost
    twice = profile(found.build(), map_tensors(call, lambda x: torch.cat([x, x])), options=QUICK).cost
    for name in ("macs", "backward_macs"):
        assert getattr(twice, name) == 2 * getattr(once, name), name
    assert (twice.params, twice.param_bytes) == (once.params, once.param_bytes)


@EACH
def test_parameter_bytes_count_each_storage_once(found):
    model = found.build()
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in (*model.parameters(), *model.buffers())
    }
    assert profile(model, found.inputs(), options=QUICK).memory.param_bytes == sum(storages.values())


def test_the_published_numbers_of_a_resnet18():
    seen = profile(resnet18(), torch.zeros(1, 3, 224, 224), options=QUICK)
    assert seen.cost.params == 11_689_512
    assert seen.cost.macs == 1_814_073_344
    # Backward: each layer twice its forward, but nobody asks for the gradient of the picture.
    first = seen.layer("0").cost
    assert first.backward_macs == first.macs
    assert seen.cost.backward_macs == 2 * seen.cost.macs - first.macs


# The real kernels behind these keep workspaces that a dispatcher does not see, so torch's own tracker is right for a
# run with real tensors and a shadow cannot be: mkldnn's LSTM.
ORACLE = pytest.mark.parametrize("found", [m for m in MODELS if m.name != "lstm"], ids=lambda found: found.name)


def beside_what_stands(snapshot, call):
    """Bytes of a tracker's snapshot without parameters, buffers and the inputs, which it files under Other."""
    total = sum(
        size
        for kind, size in snapshot.items()
        if str(getattr(kind, "value", kind)) not in ("Parameter", "Buffer", "Total")
    )
    return total - sum(tensor.untyped_storage().nbytes() for tensor in tensors_in(call))


@ORACLE
def test_the_inference_peak_equals_torchs_memory_tracker_on_a_real_run(found):
    model, call = found.build(), found.inputs()
    for parameter in model.parameters():
        parameter.requires_grad_()  # it hangs hooks on all of them
    tracker = MemTracker()
    tracker.track_external(model, *tensors_in(call))
    # The tracker stands in a dispatch mode, where attention's fused path is as visible as to us: not at all.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), tracker:
            run(model, call)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    theirs = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    expected = beside_what_stands(theirs, call)
    assert profile(model, call, options=QUICK).memory.inference_peak_bytes == expected


@ORACLE
def test_saved_bytes_equal_what_autograd_packs_in_a_real_run(found):
    model, call = found.build(), found.inputs()
    held = (*model.parameters(), *model.buffers(), *tensors_in(call))
    outside = {tensor.untyped_storage().data_ptr() for tensor in held}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in outside:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run(model, call)
    seen = profile(model, call, options=QUICK)
    assert seen.memory.saved_bytes == sum(size for size, _ in kept.values())
    assert seen.cost.saved_bytes == seen.memory.saved_bytes
    del out


@pytest.mark.parametrize("name", ["perceptron", "residual", "u_net", "gated"])
def test_the_training_peak_equals_torchs_memory_tracker_on_the_same_shadow(name):
    found = specimen(name)
    seen = profile(found.build(), found.inputs(), options=QUICK)
    shadow = make_shadow(found.build())
    call = shadow.fake(found.inputs())
    tracker = MemTracker()
    with shadow.mode:
        tracker.track_external(shadow.model, *tensors_in(call))
        with tracker:
            out = run(shadow.model, call)
            torch.autograd.backward(out, torch.ones_like(out))
    theirs = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    expected = beside_what_stands(theirs, call)
    assert seen.memory.training_peak_bytes == expected


def test_an_optimizers_state_is_part_of_the_training_peak():
    found = specimen("perceptron")
    plain = profile(found.build(), found.inputs(), options=QUICK).memory
    adam = profile(found.build(), found.inputs(), options=dataclasses.replace(QUICK, optimizer="adam")).memory
    # Two tensors of the parameters' size, and a float32 step for each of the six tensors.
    assert adam.training_peak_bytes - plain.training_peak_bytes == 2 * 4 * found.params + 6 * 4
    assert (plain.optimizer, adam.optimizer) == ("sgd", "adam")
    with pytest.raises(UnknownNameError, match=r"optimizer 'adamm'.*Did you mean 'adam'"):
        profile(found.build(), found.inputs(), options=ProfileOptions(optimizer="adamm"))


def test_layers_are_the_modules_with_their_aliases_configuration_and_tensors():
    found = specimen("shared_conv")
    model = found.build()
    seen = profile(model, found.inputs(), options=QUICK)
    assert [layer.name for layer in seen.layers] == [name for name, _ in model.named_modules()]
    conv = seen.layer("again")
    assert (conv.name, conv.aliases, conv.calls, conv.kind) == ("conv", ("again",), 2, "Conv2d")
    assert dict(conv.config) == {
        "in_channels": 8, "out_channels": 8, "kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1),
        "output_padding": (0, 0), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros", "transposed": False,
        "bias": True,
    }  # fmt: skip
    assert [(t.name, t.shape, t.kind, t.dtype) for t in conv.tensors] == [
        ("weight", (8, 8, 3, 3), "parameter", "float32"),
        ("bias", (8,), "parameter", "float32"),
    ]
    assert (conv.inputs, conv.outputs) == (((2, 8, 16, 16),), ((2, 8, 16, 16),))
    assert seen.layer("").inputs == seen.inputs == ((2, 3, 16, 16),)


def test_a_tied_tensor_names_the_first_that_holds_its_storage():
    found = specimen("gpt")
    seen = profile(found.build(), found.inputs(), options=QUICK)
    assert seen.layer("words").tensor("weight").tied_to is None
    assert seen.layer("head").tensor("weight").tied_to == "words.weight"
    assert seen.layer("head").cost.params == 0


def test_a_peak_names_the_layer_that_made_it():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(4, 400), nn.Linear(400, 4)

        def forward(self, x):
            return self.down(self.up(x))

    seen = profile(Wide(), torch.zeros(10, 4), options=QUICK)
    # Peak while `down` runs: 10 x 400 from `up` and 10 x 4 of its own.
    assert seen.memory.inference_peak_bytes == 4 * (10 * 400 + 10 * 4)
    assert seen.memory.inference_peak_at == "down"


def test_normalisation_and_activation_are_counted_apart_and_never_uncounted():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Softmax(1)).eval()
    seen = profile(model, torch.zeros(2, 3, 4, 4), options=QUICK)
    assert seen.cost.macs == 0
    assert [layer.cost.elementwise_ops for layer in seen.layers[1:]] == [96, 96, 96, 24]
    assert seen.uncounted == ()


def test_arithmetic_without_a_formula_is_named_with_its_layer():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(torch.linalg.inv(x)).abs()

    seen = profile(nn.Sequential(nn.Linear(4, 4), Spectrum()), torch.eye(4)[None], options=QUICK)
    assert {(entry.op, entry.layer, entry.times, entry.backward) for entry in seen.uncounted} == {
        ("linalg_inv_ex", "1", 1, False),
        ("_fft_r2c", "1", 1, False),
        ("_fft_c2c", "1", 1, True),
    }
    assert "at least" in repr(seen)


def test_the_profile_is_of_eval_mode_whatever_the_models_flags():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    assert profile(model, torch.zeros(2, 4), options=QUICK) == profile(model.eval(), torch.zeros(2, 4), options=QUICK)
    trained = profile(model, torch.zeros(2, 4), options=ProfileOptions(train=True, groups=False))
    assert trained.cost.saved_bytes > profile(model, torch.zeros(2, 4), options=QUICK).cost.saved_bytes
    assert not model.training


def test_a_profile_survives_json_and_is_equal_to_the_next_one():
    found = specimen("residual")
    seen = profile(found.build(), found.inputs())
    assert Profile.from_dict(seen.to_dict()) == seen == profile(found.build(), found.inputs())
    assert seen.groups


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(3, 3))

    def forward(self, x):
        return self.inner(self.norm(x))


@pytest.mark.parametrize("train", [False, True])
@EACH
def test_the_callers_model_is_untouched(found, train):
    model, call = found.build().train(), found.inputs()
    next(model.modules()).register_forward_hook(lambda *_: None)
    next(iter(model.children())).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    given = [tensor.clone() for tensor in tensors_in(call)]
    before = state_of(model)
    profile(model, call, options=ProfileOptions(train=train))
    assert before.differences(state_of(model)) == []
    assert all(torch.equal(a, b) for a, b in zip(given, tensors_in(call), strict=True))


@pytest.mark.parametrize("train", [False, True])
def test_the_callers_model_is_untouched_when_its_forward_raises(train):
    model = Fails().train()
    before = state_of(model)
    with pytest.raises(ModelError):
        profile(model, torch.zeros(2, 4), options=ProfileOptions(train=train))
    assert before.differences(state_of(model)) == []


def test_a_failing_forward_names_the_layer_what_it_got_and_what_it_takes():
    with pytest.raises(ModelError) as caught:
        profile(Fails(), torch.zeros(2, 4))
    text = str(caught.value)
    assert "Fails failed in layer 'inner.2': Linear(in_features=3, out_features=3, bias=True)" in text
    assert "called with 2 × 4" in text
    assert "takes 3 features" in text
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_wrong_picture_names_the_convolution():
    found = specimen("residual")
    with pytest.raises(ModelError, match=r"layer 'stem\.0': Conv2d.*called with 2 × 1 × 8 × 8.*3 channels"):
        profile(found.build(), torch.zeros(2, 1, 8, 8))


def test_missing_arguments_are_a_model_error_too():
    with pytest.raises(ModelError, match=r"in its own forward.*TypeError.*called with no tensors"):
        profile(nn.Linear(2, 2), ())


def test_nothing_is_printed_when_a_forward_fails(capfd):
    with pytest.raises(ModelError):
        profile(Fails(), torch.zeros(2, 4))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("model", "inputs"), [(nn.Linear, torch.zeros(1)), (nn.Linear(2, 2), "text")])
def test_other_things_than_a_model_and_inputs_are_input_errors(model, inputs):
    with pytest.raises(InputError):
        profile(model, inputs)


class Asks(nn.Module):
    """Reads the values of its activations."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        x = self.norm(self.drop(self.linear(x)))
        return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize("train", [False, True])
def test_a_forward_that_asks_for_values_runs_on_a_copy_and_says_so(train):
    model = Asks().train()
    before = state_of(model)
    seen = profile(model, torch.ones(3, 4), options=ProfileOptions(train=train))
    assert seen.cost.macs == 3 * 4 * 4
    assert any("values" in note and "copy" in note for note in seen.notes)
    assert before.differences(state_of(model)) == []


def test_a_forward_that_asks_for_whole_numbers_of_its_inputs_runs_on_the_shadow():
    class Lengths(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.register_buffer("step", torch.tensor(2))

        def forward(self, x, mask):
            if bool(mask.all()):
                return x
            longest = int(mask.sum(1).max()) + int(self.step)
            for _ in range(longest):
                x = self.linear(x)
            return x[:, : mask.nonzero().shape[0]]

    mask = torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.bool)
    seen = profile(Lengths(), (torch.zeros(2, 3, 4), mask), options=QUICK)
    assert seen.layer("linear").calls == 4
    assert seen.notes == ()
    assert mask.sum() == 3


def test_a_model_without_numbers_that_asks_for_them_says_so():
    with torch.device("meta"):
        model = Asks()
    with pytest.raises(ModelError, match="DataDependent"):
        profile(model, torch.ones(3, 4))


def test_a_forward_that_does_not_run_with_gradients_is_still_counted():
    class WritesIntoItself(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            self.weight.add_(1)
            return x @ self.weight

    seen = profile(WritesIntoItself(), torch.ones(2, 4), options=QUICK)
    assert seen.cost.macs == 2 * 4 * 4
    assert seen.memory.training_peak_bytes is None
    assert any("With gradients" in note for note in seen.notes)


def test_keyword_inputs_and_dictionary_outputs():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, *, x, scale=1):
            return {"logits": self.linear(x) * scale, "x": x}

    seen = profile(Named(), {"x": torch.zeros(3, 4), "scale": 2}, options=QUICK)
    assert seen.cost.macs == 3 * 4 * 2
    assert seen.layer("").outputs == ((3, 2), (3, 4))
    assert seen == profile(Named(), Call((), {"x": torch.zeros(3, 4), "scale": 2}), options=QUICK)


def test_a_model_that_catches_a_failure_inside_keeps_its_books():
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right, self.after = nn.Linear(3, 3), nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x):
            try:
                x = self.wrong(x)
            except RuntimeError:
                x = self.right(x)
            return self.after(torch.matmul(x, x.transpose(-1, -2)) @ x)

    seen = profile(Tries(), torch.zeros(2, 4), options=QUICK)
    assert seen.layer("right").cost.macs == 2 * 4 * 4
    assert seen.layer("after").cost.macs == 2 * 4
    assert seen.layer("").self_cost.macs == 2 * (2 * 4 * 2)


def test_it_works_inside_inference_mode_and_no_grad_and_a_profile():
    found = specimen("residual")
    model, call = found.build(), found.inputs()
    expected = profile(model, call, options=QUICK)
    with torch.inference_mode():
        assert profile(model, call, options=QUICK) == expected
    with torch.no_grad():
        assert profile(model, call, options=QUICK) == expected

    class Outer(nn.Linear):
        def forward(self, x):
            profile(model, call, options=QUICK)
            return super().forward(x)

    assert profile(Outer(4, 4), torch.zeros(2, 4), options=QUICK).cost.macs == 2 * 4 * 4


def test_two_threads_profile_at_once_and_a_training_thread_beside_them_is_not_disturbed():
    def losses():
        generator = torch.Generator().manual_seed(0)
        model = specimen("transformer_encoder").build().train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        out = []
        for _ in range(15):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 7, 16, generator=generator)).square().mean()
            loss.backward()
            optimizer.step()
            out.append(loss.item())
        return out

    expected = losses()
    found = specimen("transformer_encoder")
    model, call = found.build(), found.inputs()
    seen, faults = [], []

    def work():
        try:
            seen.extend(profile(model, call, options=QUICK).cost for _ in range(4))
        except Exception as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    beside = losses()
    for thread in threads:
        thread.join()
    assert faults == []
    assert beside == expected
    assert {cost.macs for cost in seen} == {found.macs}


def test_the_model_is_not_kept_alive():
    model = specimen("residual").build()
    profile(model, specimen("residual").inputs())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_shadow_is_profiled_as_it_is_after_an_edit():
    found = specimen("perceptron")
    shadow = make_shadow(found.build())
    profile_shadow(shadow, found.inputs(), QUICK)
    with shadow.mode:
        shadow.model[2] = nn.Sequential(nn.Linear(32, 4, bias=False), nn.Linear(4, 32))
    seen = profile_shadow(shadow, found.inputs(), QUICK)
    assert seen.cost.macs == 4 * (12 * 32 + 32 * 4 + 4 * 32 + 32 * 5)
    assert seen.cost.params == found.params - 32 * 32 + 2 * 32 * 4


def test_parameters_only_runs_nothing():
    class NeverRuns(nn.Linear):
        def forward(self, x):
            raise AssertionError

    seen = parameters_only(NeverRuns(3, 4), origin="here")
    assert (seen.cost.params, seen.cost.macs, seen.inputs, seen.origin) == (16, 0, (), "here")
    assert "Nothing was run" in seen.notes[0]
    with pytest.raises(InputError):
        parameters_only("model")


def test_latency_is_measured_only_when_asked_for():
    found = specimen("perceptron")
    model = found.build().train()
    before = state_of(model)
    assert profile(model, found.inputs()).latency is None
    latency = profile(model, found.inputs(), options=ProfileOptions(latency=True, groups=False)).latency
    assert latency.repeats >= 10
    assert 0 < latency.median_s < 1
    assert latency.iqr_s >= 0
    assert (latency.batch, latency.device) == (4, "cpu")
    assert before.differences(state_of(model)) == []


def test_an_instruction_of_a_model_of_transformers_needs_no_masks_by_hand():
    transformers = pytest.importorskip("transformers")
    small = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    bert = transformers.BertModel(transformers.BertConfig(**small))
    ids = torch.randint(50, (2, 6), generator=torch.Generator().manual_seed(0))
    batch = transformers.BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    seen = profile(bert, batch, options=QUICK)
    # Four projections and two layers for each of 12 tokens, two attention products, a pooler for each of 2 rows.
    assert seen.cost.macs == 12 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * (2 * 6 * 6 * 16) + 2 * 16 * 16
    assert (seen.notes, seen.uncounted) == ((), ())

    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0
    )
    gpt = transformers.GPT2LMHeadModel(config)
    seen = profile(gpt, {"input_ids": ids}, options=QUICK)
    assert seen.cost.macs == 12 * 12 * 16 * 16 + 2 * (2 * 6 * 6 * 16) + 12 * 16 * 50
    assert (seen.notes, seen.uncounted) == ((), ())


def test_a_compiled_model_is_profiled_as_it_is_written_and_nothing_is_compiled():
    plain = specimen("perceptron").build()
    expected = profile(plain, specimen("perceptron").inputs(), options=QUICK)
    compiled = torch.compile(plain, backend=_refuse)
    seen = profile(compiled, specimen("perceptron").inputs(), options=QUICK)
    assert seen.cost == expected.cost
    assert seen.layer("_orig_mod.0").cost == expected.layer("0").cost
    plain.compile(backend=_refuse)
    assert profile(plain, specimen("perceptron").inputs(), options=QUICK) == expected
    assert plain._compiled_call_impl is not None


def _refuse(*_):
    raise AssertionError


def test_a_scripted_model_is_refused_with_what_to_hand_in():
    with pytest.warns(DeprecationWarning, match="script"):
        scripted = torch.jit.script(nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"TorchScript.*torch\.nn\.Module that it was made from"):
        profile(scripted, torch.zeros(1, 2))


def test_parametrized_and_masked_layers_are_counted_as_they_run():
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    masked = prune.l1_unstructured(nn.Linear(4, 2), "weight", 0.5)
    seen = profile(nn.Sequential(normed, masked), torch.zeros(2, 3))
    assert seen.cost.macs == 2 * (3 * 4 + 4 * 2)  # a mask saves nothing
    assert seen.uncounted == ()
    assert all(group.obstacle for group in seen.groups)


def test_without_the_backward_its_fields_are_empty_and_the_rest_is_the_same():
    found = specimen("residual")
    whole = profile(found.build(), found.inputs(), options=QUICK)
    half = profile(found.build(), found.inputs(), options=dataclasses.replace(QUICK, backward=False))
    assert half.memory.training_peak_bytes is None
    assert half.cost == dataclasses.replace(whole.cost, backward_macs=0)
    assert half.memory.saved_bytes == whole.memory.saved_bytes


@pytest.mark.parametrize("train", [False, True])
def test_measuring_the_time_changes_neither_inputs_nor_model_nor_random_states(train):
    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.norm(x.add_(torch.rand(()) + random.random()))  # noqa: S311

    model, x = Restless(), torch.ones(3, 4)
    before, states = state_of(model), (torch.get_rng_state(), random.getstate())
    found = profile(model, x, options=ProfileOptions(latency=True, train=train, groups=False))
    assert found.latency.repeats >= 10
    assert torch.equal(x, torch.ones(3, 4))
    assert before.differences(state_of(model)) == []
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
