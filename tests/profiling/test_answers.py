"""What is answered from memory is what would have been answered: the memory empty, filled, and switched off."""

import gc
import itertools
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from effwidgets.profiling import ProfileOptions, answers, profile
from effwidgets.profiling.answers import Answer, Answers, Make, Work
from effwidgets.profiling.kinds import Rule
from effwidgets.testing.zoo import MODELS, specimen
from tests.profiling.test_macs import FORWARD

QUICK = ProfileOptions(groups=False)
WAYS = list(itertools.product((False, True), (True, False)))  # training mode; with a backward


def three_profiles(model, inputs, options, monkeypatch):
    """Profile with the memory empty, filled, and switched off."""
    monkeypatch.setattr(answers, "_ANSWERS", {})
    monkeypatch.setattr(answers, "_MAKES", {})
    empty = profile(model, inputs, options=options)
    filled = profile(model, inputs, options=options)
    with monkeypatch.context() as patch:
        patch.setattr(Answers, "known", lambda _self, _question: None)
        off = profile(model, inputs, options=options)
    return empty, filled, off


def transformers_models():
    """Give the name, the model and the inputs of small ones of five families."""
    transformers = pytest.importorskip("transformers")
    ids = torch.arange(12).view(2, 6)
    wide = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
    }
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    yield (
        "bert",
        lambda: transformers.BertModel(transformers.BertConfig(**wide)),
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
    )
    small = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8}
    yield "gpt2", lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**small, **ends)), {"input_ids": ids}
    yield (
        "llama, grouped queries",
        lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**wide, num_key_value_heads=2)),
        {"input_ids": ids},
    )
    t5 = {"vocab_size": 50, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    yield (
        "t5",
        lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**t5, decoder_start_token_id=0)),
        {"input_ids": ids, "decoder_input_ids": ids[:, :4].contiguous()},
    )
    swin = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
    yield (
        "swin",
        lambda: transformers.SwinModel(transformers.SwinConfig(**swin)),
        {"pixel_values": torch.zeros(1, 3, 32, 32)},
    )


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_a_profile_is_the_same_whatever_is_remembered(found, monkeypatch):
    empty, filled, off = three_profiles(found.build(), found.inputs(), ProfileOptions(), monkeypatch)
    assert empty == filled == off


@pytest.mark.parametrize("name", ["residual", "transformer_encoder", "lstm", "channel_shuffle"])
def test_so_it_is_in_training_mode_without_a_backward(name, monkeypatch):
    found = specimen(name)
    options = ProfileOptions(train=True, backward=False)
    empty, filled, off = three_profiles(found.build(), found.inputs(), options, monkeypatch)
    assert empty == filled == off


@pytest.mark.slow
@pytest.mark.parametrize(("train", "backward"), WAYS)
@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_so_it_is_in_every_way_of_profiling(found, train, backward, monkeypatch):
    options = ProfileOptions(train=train, backward=backward)
    empty, filled, off = three_profiles(found.build(), found.inputs(), options, monkeypatch)
    assert empty == filled == off


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns once of slow kernels: another way, the first time
@pytest.mark.slow
@pytest.mark.parametrize("name", FORWARD)
def test_so_it_is_for_every_form_of_product(name, monkeypatch):
    model, args, _ = FORWARD[name]
    for train, backward in WAYS:
        empty, filled, off = three_profiles(model, args, ProfileOptions(train=train, backward=backward), monkeypatch)
        assert empty == filled == off


@pytest.mark.slow
@pytest.mark.parametrize("found", list(transformers_models()), ids=lambda found: found[0])
def test_so_it_is_for_models_of_transformers(found, monkeypatch):
    _, build, inputs = found
    for train, backward in WAYS:
        empty, filled, off = three_profiles(
            build(), inputs, ProfileOptions(train=train, backward=backward), monkeypatch
        )
        assert empty == filled == off


class Noting(nn.Module):
    """Notes how every tensor is laid out that its function hands to ``note``."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.notes = None

    def forward(self, x):
        notes, storages = [], []

        def note(*tensors):
            for tensor in tensors:
                storage = tensor.untyped_storage()
                storages.append(storage)  # kept, so that no address is used again
                first = next(place for place, other in enumerate(storages) if other._cdata == storage._cdata)
                layout = (tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), tensor.dtype)
                notes.append((*layout, tensor.device, int(storage.nbytes()), first, tensor.is_conj(), tensor.is_neg()))

        out = self.function(x, note)
        LAYOUTS.append(notes)
        return out


LAYOUTS = []  # of the runs since it was emptied; a module's own list would be copied with it


def in_place(change):
    def forward(x, note):
        with torch.no_grad():
            for _ in range(2):  # the second time it is known
                y = x * 1
                note(y.clone(), y @ y)
                change(y)
                note(y, y.clone(), y + 1, y.contiguous(), torch.cat([y, y]), y.sum(0))
        return y * 2

    return forward


def other_data(change):
    def forward(x, note):
        for _ in range(2):
            y = (x * 1).detach()
            note(y.exp())
            y.data = change(y)
            note(y, y.exp(), y.clone(), y.reshape(-1), y[1:])
        return x * 2

    return forward


def several(split):
    def forward(x, note):
        for _ in range(2):
            parts = split(x * 1)
            note(*parts, *[part.exp() for part in parts], *[part.contiguous() for part in parts])
        return x * 2

    return forward


def out_resized(x, note):
    with torch.no_grad():
        for _ in range(2):
            out = torch.empty(0)
            note(torch.mm(x, x, out=out), out, out.exp())
    return x * 2


def out_given(x, note):
    with torch.no_grad():
        for _ in range(2):
            out = torch.empty(8, 8).t()
            note(torch.mm(x, x, out=out), out, out.exp())
    return x * 2


def complex_views(x, note):
    for _ in range(2):
        z = torch.view_as_complex(x.reshape(8, 4, 2))
        note(z, z.conj(), z.conj().clone(), z.conj() * 2, z.conj().imag, z.imag, z.mH, z @ z.mH, (z.conj() @ z.mT).real)
        note(torch._neg_view(x), torch._neg_view(x) + 1, torch._neg_view(x).clone())
    return x * 2


def plain_numbers(x, note):
    flags = x > 0  # one byte each
    for number in (1, 1.0, True, 1, 1.0, True, 2, -1, 0.0, -0.0):
        note(flags * number, x * number, x.int() * number)
    for number in (1, 1.0, True):
        note(torch.full_like(flags, number), x.new_full((2,), number), torch.where(flags, number, 0))
    return x * 2


def not_a_number(x, note):
    for _ in range(2):
        note(x.masked_fill(x > 0, float("nan")), torch.full_like(x, float("nan")), x * float("inf"), x + float("nan"))
    return x * 2


def views_written_into(x, note):
    for _ in range(2):
        y = x.clone()
        part = y[2:4]
        note(part.add_(1), y, y[:, 1].mul_(2), y.T[0].zero_(), y.view(-1)[3:9].exp_(), y.view(4, 16), y.exp())
        y.add_(y)
        y.add_(x)
        note(y, part)
    return x * 2


def empty_ones(x, note):
    for _ in range(2):
        none = x[:0]
        note(none, none + 1, none @ x, x[:, :0] @ none, torch.cat([none, x]), none.sum(), none.t().contiguous())
    return x * 2


def odd_layouts(x, note):
    picture = x.view(1, 4, 4, 4)
    for _ in range(2):
        last = picture.contiguous(memory_format=torch.channels_last)
        note(last, last + 1, last + picture, F.relu(last), F.max_pool2d(last, 2), last.clone(), last.flatten(1))
        note(x.t() + 1, x[::2].exp(), x[:, ::3] * x[:, 1::3][:, :1], x.expand(3, 8, 8).exp(), x.unfold(0, 3, 1) + 1)
    return x * 2


def inside_inference_mode(x, note):
    for _ in range(2):
        with torch.inference_mode():
            y = x * 1
            note(y, y @ y, F.softmax(y, 1), y.view(-1), F.linear(y, y))
            y.add_(1)
        note(y.exp(), x.exp())
    return x * 2


def another_default_dtype(x, note):
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64, torch.float32, torch.float16):
            torch.set_default_dtype(dtype)
            note((x > 0) * 1.5, torch.empty(3), x.int() / 2)
    finally:
        torch.set_default_dtype(before)
    return x * 2


def lists_of(x, note):
    for _ in range(2):
        note(*torch._foreach_add([x, x[:2]], 1), *torch._foreach_mul([x, x[:2]], [x, x[:2]]))
        parts = [x.clone(), x[:2].clone()]
        torch._foreach_add_(parts, 1)
        note(*parts, torch.stack(parts[:1] * 2), *torch.meshgrid(x[0], x[1], indexing="ij"))
        note(*torch.broadcast_tensors(x, x[:1]), *torch.broadcast_tensors(x, x), *torch.broadcast_tensors(x, x + 1))
        note(*torch.sort(x), *x.max(0), *torch.aminmax(x), *torch.frexp(x))
    return x * 2


TRAPS = {
    "numbers that are equal and not the same": plain_numbers,
    "not a number": not_a_number,
    "another default dtype in the middle": another_default_dtype,
    "transpose_ of a square": in_place(lambda y: y.transpose_(0, 1)),
    "t_ of a square": in_place(lambda y: y.t_()),
    "swapaxes_ of a square": in_place(lambda y: y.swapaxes_(0, 1)),
    "as_strided_ of the same shape": in_place(lambda y: y.as_strided_((8, 8), (1, 8))),
    "set_ to another's storage": in_place(lambda y: y.set_(torch.ones(8, 8).t())),
    "resize_ there and back": in_place(lambda y: y.resize_(4, 8).resize_(8, 8)),
    "resize_ to less": in_place(lambda y: y.resize_(4, 4)),
    "unsqueeze_ and squeeze_": in_place(lambda y: y.unsqueeze_(0).transpose_(1, 2).squeeze_(0)),
    "data, transposed": other_data(lambda y: y.t()),
    "data, of other numbers": other_data(torch.zeros_like),
    "data, further back": other_data(lambda _: torch.zeros(100)[36:].view(8, 8)),
    "data, of another dtype": other_data(lambda y: y.double()),
    "unbind": several(lambda y: y.unbind(0)),
    "split": several(lambda y: y.split(3)),
    "split of columns": several(lambda y: y.split([1, 2, 5], 1)),
    "chunk": several(lambda y: y.chunk(2, 1)),
    "unsafe_chunk": several(lambda y: y.unsafe_chunk(2, 1)),
    "tensor_split": several(lambda y: y.tensor_split(3, 1)),
    "what is written into grows": out_resized,
    "what is written into is transposed": out_given,
    "complex numbers and marks": complex_views,
    "views that are written into": views_written_into,
    "nothing in it": empty_ones,
    "layouts": odd_layouts,
    "inference_mode inside": inside_inference_mode,
    "lists": lists_of,
}


@pytest.mark.parametrize("name", TRAPS)
def test_every_tensor_is_laid_out_as_in_a_real_run(name, monkeypatch):
    model, x = Noting(TRAPS[name]), torch.ones(8, 8)
    LAYOUTS.clear()
    with torch.no_grad():
        model(x)
    (truth,) = LAYOUTS
    LAYOUTS.clear()
    found = three_profiles(model, x, QUICK, monkeypatch)
    assert [truth] * len(LAYOUTS) == LAYOUTS
    assert len(LAYOUTS) >= 3
    assert found[0] == found[1] == found[2]
    assert found[0].notes == ()


def channels_last_model():
    model = specimen("residual").build()
    return model.to(memory_format=torch.channels_last)


SHAPES = {
    "channels last, both": (channels_last_model, torch.zeros(2, 3, 16, 16).to(memory_format=torch.channels_last)),
    "channels last, the model": (channels_last_model, torch.zeros(2, 3, 16, 16)),
    "not contiguous": (specimen("residual").build, torch.zeros(2, 16, 16, 3).permute(0, 3, 1, 2)),
    "every other place": (specimen("perceptron").build, torch.zeros(8, 24)[::2, ::2]),
    "expanded": (specimen("perceptron").build, torch.zeros(1, 12).expand(5, 12)),
    "an empty batch": (specimen("perceptron").build, torch.zeros(0, 12)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_inputs_of_any_layout_are_answered_as_they_come(name, monkeypatch):
    build, x = SHAPES[name]
    empty, filled, off = three_profiles(build(), x, ProfileOptions(), monkeypatch)
    assert empty == filled == off


def test_one_layout_does_not_answer_for_another(monkeypatch):
    monkeypatch.setattr(answers, "_ANSWERS", {})
    plain = [profile(build(), x) for build, x in SHAPES.values()]
    again = [profile(build(), x) for build, x in reversed(SHAPES.values())]
    assert plain == again[::-1]
    assert plain[1].cost.moved_bytes != 0


def test_a_default_dtype_that_changed_between_two_profiles_is_seen():
    class Half(nn.Module):
        def forward(self, x):
            return (x > 0) * 1.5

    x = torch.zeros(10)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        wide = profile(Half(), x, options=QUICK).cost.output_bytes
    finally:
        torch.set_default_dtype(before)
    assert (wide, profile(Half(), x, options=QUICK).cost.output_bytes) == (80, 40)


def test_another_number_of_threads_changes_nothing_but_the_environment(monkeypatch):
    found = specimen("u_net")
    one = three_profiles(found.build(), found.inputs(), ProfileOptions(), monkeypatch)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        other = three_profiles(found.build(), found.inputs(), ProfileOptions(), monkeypatch)
    finally:
        torch.set_num_threads(before)
    assert one[0] == one[1] == one[2]
    assert other[0] == other[1] == other[2]
    assert one[0].layers == other[0].layers
    assert one[0].memory == other[0].memory


def test_threads_that_share_the_memory_profile_as_one_alone(monkeypatch):
    chosen = [specimen(name) for name in ("residual", "vit", "lstm", "gpt")]
    models = [(found.build(), found.inputs()) for found in chosen]
    expected = [profile(model, inputs) for model, inputs in models]
    monkeypatch.setattr(answers, "_ANSWERS", {})
    monkeypatch.setattr(answers, "_MAKES", {})
    monkeypatch.setattr(answers, "_MOST", 60)  # it is also emptied meanwhile
    seen = [[] for _ in models]

    def work(place):
        for turn in range(3):
            which = (place + turn) % len(models)
            try:
                seen[which].append(profile(*models[which]))
            except Exception as error:  # noqa: BLE001
                seen[which].append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(map(len, seen)) == 9
    for own, others in zip(expected, seen, strict=True):
        assert all(other == own for other in others)


def parts_of(value):
    """Yield everything that a memory of answers holds."""
    yield value
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    elif isinstance(value, Make | Answer | Work):
        value = [getattr(value, name) for name in value.__slots__]
    if isinstance(value, tuple | list):
        for item in value:
            yield from parts_of(item)


def test_the_memory_holds_descriptions_and_neither_tensors_nor_models(monkeypatch):
    monkeypatch.setattr(answers, "_ANSWERS", {})
    monkeypatch.setattr(answers, "_MAKES", {})
    gone = []
    for name in ("residual", "transformer_encoder", "lstm", "gpt"):
        model = specimen(name).build()
        profile(model, specimen(name).inputs())
        gone += [weakref.ref(model), *[weakref.ref(parameter) for parameter in model.parameters()]]
    del model
    gc.collect()
    assert [reference() for reference in gone if reference() is not None] == []
    kinds = {type(part) for table in (answers._ANSWERS, answers._MAKES) for part in parts_of(table)}
    plain = {dict, tuple, list, int, bool, float, str, type, object, type(None), torch.Size}
    words = {torch.dtype, torch.device, torch.layout, torch.memory_format, torch._ops.OpOverload}
    assert kinds <= plain | words | {Make, Answer, Work, Rule}
    assert {Make, Answer, Work, torch._ops.OpOverload} <= kinds  # it was looked at


def test_the_memory_never_grows_past_its_bound_and_the_profile_stays(monkeypatch):
    found = specimen("residual")
    expected = profile(found.build(), found.inputs())
    monkeypatch.setattr(answers, "_ANSWERS", {})
    monkeypatch.setattr(answers, "_MAKES", {})
    monkeypatch.setattr(answers, "_MOST", 20)
    assert profile(found.build(), found.inputs()) == expected
    assert 0 < len(answers._ANSWERS) <= 20


def test_a_second_profile_of_many_shapes_asks_nothing_again(monkeypatch):
    found = specimen("vit")
    profile(found.build(), found.inputs(), options=QUICK)
    known, size = [], len(answers._ANSWERS)
    ask = Answers.known
    monkeypatch.setattr(Answers, "known", lambda self, question: known.append(ask(self, question)) or known[-1])
    profile(found.build(), found.inputs(), options=QUICK)
    assert len(answers._ANSWERS) == size
    assert sum(answer is None for answer in known) <= 0.1 * len(known)
