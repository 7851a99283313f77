"""Ours minus theirs is the sum of the explained items, to the integer, for each layer, on every model there is."""

from __future__ import annotations

import copy
import dataclasses
import sys
import warnings
from importlib.metadata import PackageNotFoundError
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from effwidgets.errors import InputError, ModelError, UnknownNameError
from effwidgets.profiling import ProfileOptions, make_shadow, profile
from effwidgets.reconcile import PEERS, ReconcileOptions, reconcile
from effwidgets.records import UNEXPLAINED
from effwidgets.testing import convolutional as c
from effwidgets.testing.resnet import resnet18
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, specimen
from tests.profiling.test_macs import BACKWARD, FORWARD, Function, t

WITH_BACKWARD = ReconcileOptions(backward=True)
COUNTERS = ("flop_counter", "flop_counter_meta")


def check(found):
    """Every sum holds, and nothing is left without a reason."""
    assert {peer.peer: peer.failure for peer in found.peers if peer.failure} == {}
    for peer in found.peers:
        assert peer.layers[0].ours == found.ours
        assert peer.layers[0].theirs * peer.flops_per_mac == peer.flops
        assert sum(layer.own_theirs for layer in peer.layers) == peer.layers[0].theirs
        for layer in peer.layers:
            assert layer.ours - layer.theirs == sum(item.macs for item in layer.items)
            assert layer.own_ours - layer.own_theirs == sum(item.macs for item in layer.own_items)
            assert UNEXPLAINED not in {item.reason for item in (*layer.items, *layer.own_items)}
        assert peer.unexplained == 0


def items(found, peer, layer=""):
    return {(item.reason, item.op): item.macs for item in found.peer(peer).layer(layer).items}


@pytest.mark.parametrize("name", [model.name for model in MODELS])
def test_every_zoo_model_is_reconciled_to_the_integer(name):
    model = specimen(name)
    found = reconcile(model.build(), model.inputs())
    assert found.ours == model.macs
    check(found)


# One of the counters goes on meta tensors, which cannot say which layer the branch takes.
@pytest.mark.parametrize("name", [model.name for model in MODELS if model.name != "branch"])
def test_every_zoo_model_is_reconciled_with_its_backward(name):
    model = specimen(name)
    built = model.build()
    found = reconcile(built, model.inputs(), with_=COUNTERS, options=WITH_BACKWARD)
    whole = profile(built, model.inputs(), options=ProfileOptions(groups=False)).cost
    assert found.ours == whole.macs + whole.backward_macs
    check(found)


@pytest.mark.parametrize("name", FORWARD)
def test_every_operation_is_reconciled(name):
    model, args, macs = FORWARD[name]
    found = reconcile(model, args)
    assert found.ours == macs
    fails = [peer.peer for peer in found.peers if peer.failure is not None]
    if fails:
        assert fails == ["fvcore"]
        with pytest.raises((AssertionError, IndexError, RuntimeError, TypeError)):  # by itself it fails too
            by_fvcore_alone(model, args)
        found = dataclasses.replace(found, peers=found.peers[1:])
    check(found)


def by_fvcore_alone(model, args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from fvcore.nn import FlopCountAnalysis
    analysis = FlopCountAnalysis(copy.deepcopy(model).eval(), args)
    analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    with torch.no_grad():
        return analysis.total()


def test_a_formula_of_theirs_that_fails_is_named_with_the_shapes():
    model, args, _ = FORWARD["matrix times vector"]
    peer = reconcile(model, args).peer("fvcore")
    assert peer.failure.startswith("its formula for matmul cannot take 4 × 8 and 8")
    assert peer.layers == ()


@pytest.mark.parametrize("name", BACKWARD)
def test_every_operation_is_reconciled_with_its_backward(name):
    model, args, _ = BACKWARD[name]
    check(reconcile(model, args, with_=PEERS, options=WITH_BACKWARD))


def transformers_model(kind):
    import transformers as hf

    small = {"vocab_size": 99, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    ids = torch.randint(0, 99, (2, 12))
    if kind == "bert":
        model = hf.BertModel(hf.BertConfig(hidden_size=32, intermediate_size=64, **small))
        return model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if kind == "gpt2":
        config = hf.GPT2Config(
            vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=0, eos_token_id=0
        )
        return hf.GPT2LMHeadModel(config), ids
    config = hf.LlamaConfig(hidden_size=32, intermediate_size=64, num_key_value_heads=2, **small)
    return hf.LlamaForCausalLM(config), {"input_ids": ids}


@pytest.mark.parametrize(
    "kind", ["bert", pytest.param("gpt2", marks=pytest.mark.slow), pytest.param("llama", marks=pytest.mark.slow)]
)
def test_transformers_are_reconciled_though_fvcore_takes_no_mapping(kind):
    model, inputs = transformers_model(kind)
    found = reconcile(model, inputs)
    check(found)
    # Two layers: Q K^T and (scores) V, 2 x 4 heads, 12 x 12 places, 8 wide.
    attention = 2 * 2 * (2 * 4 * 12 * 12 * 8)
    assert items(found, "fvcore")["fused_attention", "scaled_dot_product_attention"] == attention
    assert items(found, "flop_counter") == {
        ("fused_attention", "_scaled_dot_product_flash_attention_for_cpu"): attention
    }
    assert "in a wrapper" in found.peer("fvcore").notes[0]


def test_the_resnet_of_the_papers_has_norms_and_pooling_in_fvcore_and_half_the_flops():
    found = reconcile(resnet18(), torch.zeros(1, 3, 64, 64))
    check(found)
    # Each norm costs two a number in eval mode; the pooling reads 512 x 2 x 2. 64x64 pictures: 32, 16, 8, 4, 2 wide.
    widths = 64 * 32**2 + 4 * 64 * 16**2 + 5 * 128 * 8**2 + 5 * 256 * 4**2 + 5 * 512 * 2**2
    assert items(found, "fvcore") == {
        ("included_norm", "batch_norm"): -2 * widths,
        ("included_pool", "adaptive_avg_pool2d"): -512 * 2 * 2,
    }
    assert found.peer("fvcore").flops == found.ours + 2 * widths + 2048
    assert found.peer("flop_counter").flops == 2 * found.ours


def test_the_backward_of_groups_is_over_counted_by_the_groups_less_one():
    model = nn.Sequential(nn.Conv2d(8, 12, 3, groups=4), nn.ConvTranspose2d(12, 6, 3, groups=3))
    found = reconcile(model, t(2, 8, 9, 9), with_="flop_counter", options=WITH_BACKWARD)
    check(found)
    first, second = 2 * 49 * 12 * 2 * 9, 2 * 49 * 12 * 2 * 9
    assert items(found, "flop_counter") == {("grouped_backward", "convolution_backward"): -(3 * first + 2 * second)}
    assert items(found, "flop_counter", "0") == {("grouped_backward", "convolution_backward"): -3 * first}


def test_the_known_gaps_have_their_own_words_and_numbers():
    same = reconcile(nn.Conv2d(4, 6, 4, padding="same"), t(1, 4, 9, 9), with_="fvcore")
    assert items(same, "fvcore") == {("same_padding", "_convolution_mode"): 81 * 6 * 4 * 16}
    broad = reconcile(Function(torch.matmul), (t(4, 8), t(3, 2, 8, 5)), with_="fvcore")
    assert items(broad, "fvcore") == {("broadcast", "matmul"): 5 * 4 * 8 * 5}
    lstm = reconcile(nn.LSTM(8, 16), t(4, 2, 8))
    assert items(lstm, "fvcore") == {("recurrent", "lstm"): 8 * 64 * 24}
    assert items(lstm, "flop_counter") == {("recurrent", "mkldnn_rnn_layer"): 8 * 64 * 24}
    for found in (same, broad, lstm):
        assert all(item.words.endswith(".") for peer in found.peers for item in peer.layers[0].items)


def test_an_einsum_is_off_by_the_digits_that_numpy_prints():
    found = reconcile(Function(lambda a, b: torch.einsum("ij,jk->ik", a, b)), (t(37, 41), t(41, 43)), with_="fvcore")
    # 2 x 37 x 41 x 43 = 130,462 is printed as 1.305e+05, and halved.
    assert items(found, "fvcore") == {("einsum_digits", "einsum"): 37 * 41 * 43 - 130_500 // 2}
    outer = reconcile(Function(lambda a, b: torch.einsum("i,j->ij", a, b)), (t(6), t(8)), with_="fvcore")
    assert items(outer, "fvcore") == {("einsum_elementwise", "einsum"): -24}
    check(found)
    check(outer)


def test_work_that_the_output_does_not_need_is_named_as_such():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 8)

        def forward(self, x):
            self.unused(x)
            return self.used(x)

    found = reconcile(Dead(), t(2, 4))
    check(found)
    assert items(found, "fvcore") == {("unused", "addmm"): 2 * 4 * 8}
    assert items(found, "flop_counter") == {}


def test_a_function_of_ones_own_is_hidden_from_the_trace():
    class Times(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx, grad):
            x, w = ctx.saved_tensors
            return grad @ w.t(), x.t() @ grad

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8, 4))

        def forward(self, x):
            return Times.apply(x, self.weight)

    found = reconcile(Own(), t(4, 8))
    check(found)
    assert items(found, "fvcore") == {("python_op", "prim::PythonOp.Times"): 4 * 8 * 4}


def test_a_forward_that_asks_for_values_is_reconciled_on_real_numbers():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            for _ in range(2 if x.sum().item() > -1 else 1):
                x = self.fc(x)
            return x

    found = reconcile(Asks(), t(4, 8), options=WITH_BACKWARD)
    check(found)
    assert any("asks for values" in note for note in found.notes)


def test_a_counter_that_cannot_says_why_and_the_other_still_counts():
    class Hides(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.out_of_sight = nn.Linear(8, 4), [nn.Linear(8, 8)]

        def forward(self, x):
            return self.fc(self.out_of_sight[0](x))

    found = reconcile(Hides(), t(4, 8))
    assert found.peer("fvcore").failure.startswith("RuntimeError: Cannot insert a Tensor that requires grad")
    assert found.peer("flop_counter").layers[0].theirs == found.ours == 4 * 8 * 12
    assert "cannot count it" in repr(found)


def test_a_dynamic_int8_model_is_reconciled():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), {nn.Linear})
    found = reconcile(model, t(4, 8), with_="flop_counter")
    check(found)
    assert found.peer("flop_counter").flops == 0
    assert found.peer("flop_counter").layer("").difference == found.ours


def test_a_model_on_meta_stays_there():
    with torch.device("meta"):
        model, picture = resnet18(), torch.empty(1, 3, 64, 64)
    found = reconcile(model, picture, with_=PEERS)
    check(found)
    assert found.ours == reconcile(resnet18(), t(1, 3, 64, 64), with_="flop_counter_meta").ours
    assert "on meta" in found.peer("flop_counter").setting


def test_training_mode_has_other_norms_and_no_fused_path():
    model, picture = specimen("residual"), specimen("residual").inputs()
    trained = reconcile(model.build(), picture, with_="fvcore", options=ReconcileOptions(train=True))
    check(trained)
    evaluated = reconcile(model.build(), picture, with_="fvcore")
    # fvcore: five operations a number in training, two in eval mode.
    assert 2 * trained.peer("fvcore").layer("").difference == 5 * evaluated.peer("fvcore").layer("").difference
    encoder = specimen("transformer_encoder")
    found = reconcile(encoder.build(), encoder.inputs(), with_="flop_counter", options=ReconcileOptions(train=True))
    assert {item.reason for item in found.peer("flop_counter").layer("").items} <= {"fused_attention"}


def test_an_unbroken_sum_hides_nothing_when_our_own_run_is_not_borne_out(monkeypatch):
    room = sys.modules["effwidgets.reconcile.reconcile"]  # the package gives the function under this name
    monkeypatch.setattr(room, "ledger_of", lambda *_, **__: [])
    found = reconcile(nn.Sequential(nn.LSTM(8, 16)), t(4, 2, 8), with_="flop_counter")
    assert items(found, "flop_counter") == {(UNEXPLAINED, ""): 8 * 64 * 24}
    assert found.peer("flop_counter").unexplained > 0


def test_the_note_about_a_hidden_workspace_alone_is_left_out():
    class Forgets(nn.LSTM):
        def forward(self, x):
            if torch.is_grad_enabled():
                raise RuntimeError("no memory of gradients")
            return super().forward(x)

    for model, kept in ((nn.LSTM(4, 8), []), (Forgets(4, 8), ["With gradients"])):
        whole = profile(model, t(3, 2, 4), options=ProfileOptions(groups=False))
        assert any("memory is at least this" in note for note in whole.notes)  # else this test says nothing
        found = reconcile(model, t(3, 2, 4), with_="flop_counter")
        assert [note[:14] for note in found.notes] == kept


def test_without_fvcore_its_row_says_so_and_the_other_still_counts(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(sys.modules["effwidgets.reconcile.reconcile"], "version", missing)
    monkeypatch.delitem(sys.modules, "effwidgets.reconcile.fvcore_side", raising=False)
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    found = reconcile(nn.Linear(4, 4), t(2, 4))
    peer = found.peer("fvcore")
    assert (peer.title, peer.failure[:20]) == ("fvcore", "ModuleNotFoundError:")
    assert found.peer("flop_counter").failure is None


@pytest.mark.parametrize("options", [ReconcileOptions(), ReconcileOptions(train=True, backward=True)])
def test_the_callers_model_is_left_as_it_was(options):
    model = c.ResidualNet().train()
    model.get_submodule(next(name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d))).eval()
    picture = torch.rand(2, 3, 16, 16)
    before = state_of(model)
    reconcile(model, picture, with_=PEERS, options=options)
    assert before.differences(state_of(model)) == []


def test_the_callers_model_is_left_as_it_was_when_a_counter_fails():
    model, args, _ = FORWARD["matrix times vector"]
    held = nn.Sequential(model, nn.Linear(4, 4))
    before = state_of(held)
    with pytest.raises(ModelError):
        reconcile(held, t(3, 3))
    reconcile(model, args)
    assert before.differences(state_of(held)) == []
    assert not torch._C._get_tracing_state()


class Drawn(nn.Module):
    """Layers of any make in a row, some of them twice, on ``(batch, places, 8)``."""

    MAKES: ClassVar = {
        "linear": lambda: nn.Linear(8, 8),
        "norm": lambda: nn.LayerNorm(8),
        "lstm": lambda: nn.LSTM(8, 8, batch_first=True),
        "gru": lambda: nn.GRU(8, 4, batch_first=True, bidirectional=True),
        "attention": lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        "encoder": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        "same": lambda: nn.Conv1d(5, 5, 3, padding="same", groups=5),
        "grouped": lambda: nn.Conv1d(5, 10, 3, padding=1, groups=5),
        "up": lambda: nn.ConvTranspose1d(10, 5, 1, groups=5),
    }

    def __init__(self, kinds, order):
        super().__init__()
        made = [self.MAKES[kind]() for kind in kinds if kind not in ("grouped", "up")]
        self.block = nn.ModuleList([*made, nn.Sequential(self.MAKES["grouped"](), self.MAKES["up"]())])
        self.order = [place % len(self.block) for place in order]

    def forward(self, x):
        for place in self.order:
            layer = self.block[place]
            if isinstance(layer, nn.MultiheadAttention):
                x = x + layer(x, x, x, need_weights=False)[0]
            else:
                out = layer(x)
                x = x + (out[0] if isinstance(out, tuple) else out)
        return x @ x.transpose(1, 2) @ x


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(sorted(Drawn.MAKES)), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_models_drawn_by_chance_are_reconciled(kinds, order, train, backward):
    options = ReconcileOptions(train=train, backward=backward)
    check(reconcile(Drawn(kinds, order), torch.zeros(2, 5, 8), options=options))


def test_an_unknown_counter_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'fvcore'"):
        reconcile(nn.Linear(4, 4), t(1, 4), with_="fvcor")
    with pytest.raises(InputError, match="No counter"):
        reconcile(nn.Linear(4, 4), t(1, 4), with_=())
    with pytest.raises(InputError, match="ReconcileOptions"):
        reconcile(nn.Linear(4, 4), t(1, 4), options=True)
    with pytest.raises(InputError, match="Module"):
        reconcile(make_shadow, t(1, 4))
