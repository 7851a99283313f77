"""Every operation that multiplies matrices, by formulas written here from the shapes; in both directions."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from effwidgets.profiling import Call, ProfileOptions, profile
from effwidgets.profiling.macs import FORMULAS

QUICK = ProfileOptions(groups=False)
TRAIN = ProfileOptions(groups=False, train=True)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


class Inside(nn.Module):
    """A model that runs inside a decorator."""

    def __init__(self, model, decorator):
        super().__init__()
        self.model = model
        self.decorator = decorator

    def forward(self, *args, **kwargs):
        return self.decorator(self.model)(*args, **kwargs)


class Kernel(nn.Module):
    """Attention by one of torch's kernels."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    def forward(self, *args):
        with sdpa_kernel(self.kernel):
            return F.scaled_dot_product_attention(*args)


class Packed(nn.Module):
    """A recurrent layer over sequences of different lengths, packed."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        out, _ = self.layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(out)[0]


def t(*shape):
    return torch.zeros(*shape)


def grad(*shape):
    return torch.zeros(*shape, requires_grad=True)


FORWARD = {
    "linear of rank 1": (nn.Linear(16, 8), (t(16),), 16 * 8),
    "linear of rank 2": (nn.Linear(16, 8), (t(4, 16),), 4 * 16 * 8),
    "linear of rank 4": (nn.Linear(16, 8), (t(2, 3, 5, 16),), 30 * 16 * 8),
    "linear without bias, not contiguous": (nn.Linear(16, 8, bias=False), (t(2, 16, 5).transpose(1, 2),), 10 * 16 * 8),
    "conv1d": (nn.Conv1d(4, 6, 3), (t(2, 4, 9),), 2 * 7 * 6 * 4 * 3),
    "conv2d without a batch": (nn.Conv2d(4, 6, 3), (t(4, 9, 9),), 49 * 6 * 4 * 9),
    "conv2d strided and dilated": (nn.Conv2d(4, 6, 3, 2, 2, 2), (t(1, 4, 9, 9),), 25 * 6 * 4 * 9),
    "conv2d same": (nn.Conv2d(4, 6, 4, padding="same"), (t(1, 4, 9, 9),), 81 * 6 * 4 * 16),
    "conv2d circular": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (t(1, 4, 9, 9),), 81 * 6 * 4 * 9),
    "conv2d in groups": (nn.Conv2d(8, 12, 3, groups=4), (t(2, 8, 5, 5),), 2 * 9 * 12 * 2 * 9),
    "conv2d depthwise": (nn.Conv2d(8, 8, 3, groups=8), (t(2, 8, 5, 5),), 2 * 9 * 8 * 9),
    "conv3d": (nn.Conv3d(2, 3, 3), (t(1, 2, 5, 5, 5),), 27 * 3 * 2 * 27),
    "conv transposed": (nn.ConvTranspose2d(4, 6, 3, 2), (t(2, 4, 5, 5),), 2 * 25 * 4 * 6 * 9),
    "conv transposed in groups": (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), (t(2, 4, 5, 5),), 2 * 25 * 4 * 3 * 9),
    "functional conv": (Function(F.conv2d), (t(1, 4, 6, 6), t(5, 4, 3, 3)), 16 * 5 * 4 * 9),
    "matmul": (Function(torch.matmul), (t(4, 8), t(8, 5)), 4 * 8 * 5),
    "matmul broadcast": (Function(torch.matmul), (t(4, 8), t(3, 2, 8, 5)), 6 * 4 * 8 * 5),
    "matrix times vector": (Function(torch.matmul), (t(4, 8), t(8)), 4 * 8),
    "vector times matrix": (Function(torch.matmul), (t(8), t(8, 5)), 8 * 5),
    "mv": (Function(torch.mv), (t(4, 8), t(8)), 4 * 8),
    "dot": (Function(torch.dot), (t(8), t(8)), 8),
    "mm": (Function(torch.mm), (t(4, 8), t(8, 5)), 4 * 8 * 5),
    "bmm": (Function(torch.bmm), (t(3, 4, 8), t(3, 8, 5)), 3 * 4 * 8 * 5),
    "addmm": (Function(torch.addmm), (t(5), t(4, 8), t(8, 5)), 4 * 8 * 5),
    "baddbmm": (Function(torch.baddbmm), (t(3, 4, 5), t(3, 4, 8), t(3, 8, 5)), 3 * 4 * 8 * 5),
    "addbmm": (Function(torch.addbmm), (t(4, 5), t(3, 4, 8), t(3, 8, 5)), 3 * 4 * 8 * 5),
    "addmv": (Function(torch.addmv), (t(4), t(4, 8), t(8)), 4 * 8),
    "einsum": (Function(lambda a, b: torch.einsum("bij,bkj->bik", a, b)), (t(3, 4, 8), t(3, 5, 8)), 3 * 4 * 8 * 5),
    "einsum of attention scores": (
        Function(lambda q, k: torch.einsum("bhqd,bhkd->bhqk", q, k)),
        (t(2, 3, 4, 8), t(2, 3, 5, 8)),
        6 * 4 * 5 * 8,
    ),
    "einsum with dots": (
        Function(lambda a, b: torch.einsum("...ij,jk->...ik", a, b)),
        (t(2, 3, 4, 8), t(8, 5)),
        24 * 8 * 5,
    ),
    "einsum of three": (
        Function(lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c)),
        (t(3, 4), t(4, 5), t(5, 6)),
        3 * 4 * 5 + 3 * 5 * 6,
    ),
    "einsum summing everything": (Function(lambda a, b: torch.einsum("ij,ij->", a, b)), (t(3, 4), t(3, 4)), 12),
    # Nothing is multiplied and summed in these.
    "einsum of a trace": (Function(lambda a: torch.einsum("ii->", a)), (t(4, 4),), 0),
    "einsum of an outer product": (Function(lambda a, b: torch.einsum("i,j->ij", a, b)), (t(4), t(5)), 0),
    "outer": (Function(torch.outer), (t(4), t(5)), 0),
    "kron": (Function(torch.kron), (t(4, 2), t(5, 3)), 0),
    "tensordot": (Function(torch.tensordot), (t(2, 3, 4), t(3, 4, 5)), 2 * 12 * 5),
    "inner": (Function(torch.inner), (t(2, 4), t(3, 4)), 2 * 3 * 4),
    "vdot": (Function(torch.vdot), (t(8), t(8)), 8),
    "linalg.matmul": (Function(torch.linalg.matmul), (t(2, 4, 8), t(8, 5)), 8 * 8 * 5),
    # The cheaper of the two orders: 10 x 100 x 5 before 10 x 5 x 50.
    "multi_dot": (
        Function(lambda *m: torch.linalg.multi_dot(m)),
        (t(10, 100), t(100, 5), t(5, 50)),
        10 * 100 * 5 + 10 * 5 * 50,
    ),
    "chain_matmul": (
        Function(lambda *m: torch.linalg.multi_dot(m)),
        (t(3, 4), t(4, 5), t(5, 6)),
        3 * 4 * 5 + 3 * 5 * 6,
    ),
    # To the fifth: squared, squared again, times itself.
    "matrix_power": (Function(lambda a: torch.linalg.matrix_power(a, 5)), (t(4, 4),), 3 * 64),
    "in place": (Function(lambda a, b, c: a.clone().addmm_(b, c)), (t(4, 5), t(4, 8), t(8, 5)), 4 * 8 * 5),
    "in place, a batch": (
        Function(lambda a, b, c: a.clone().baddbmm_(b, c)),
        (t(3, 4, 5), t(3, 4, 8), t(3, 8, 5)),
        3 * 4 * 8 * 5,
    ),
    "into a given output": (
        Function(torch.no_grad()(lambda a, b: torch.mm(a, b, out=torch.empty(4, 5)))),
        (t(4, 8), t(8, 5)),
        4 * 8 * 5,
    ),
    "unfold and multiply": (Function(lambda w, x: w @ F.unfold(x, 3)), (t(5, 36), t(2, 4, 6, 6)), 2 * 16 * 5 * 36),
    "conv_tbc": (Function(torch.conv_tbc), (t(9, 2, 4), t(3, 4, 6), t(6)), 2 * 7 * 6 * 4 * 3),
    "conv1d in groups, dilated": (nn.Conv1d(4, 6, 3, dilation=2, groups=2), (t(2, 4, 9),), 2 * 5 * 6 * 2 * 3),
    "conv3d same, circular": (
        nn.Conv3d(2, 3, 3, padding="same", padding_mode="circular"),
        (t(1, 2, 5, 5, 5),),
        125 * 3 * 2 * 27,
    ),
    "conv1d transposed": (nn.ConvTranspose1d(4, 6, 3, 2), (t(2, 4, 5),), 2 * 5 * 4 * 6 * 3),
    "conv2d transposed without a batch": (nn.ConvTranspose2d(4, 6, 3, 2), (t(4, 5, 5),), 25 * 4 * 6 * 9),
    "conv3d transposed, dilated, in groups": (
        nn.ConvTranspose3d(4, 6, 3, 2, dilation=2, groups=2),
        (t(1, 4, 3, 3, 3),),
        27 * 4 * 3 * 27,
    ),
    "conv2d channels last": (
        nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last),
        (t(2, 8, 5, 5).to(memory_format=torch.channels_last),),
        18 * 64 * 9,
    ),
    "bilinear": (nn.Bilinear(3, 4, 5), (t(2, 3), t(2, 4)), 2 * 3 * 4 * 5),
    "cdist": (Function(torch.cdist), (t(5, 3), t(7, 3)), 5 * 7 * 3),
    # From 26 points on through a matrix product; the same pairs, the same features.
    "cdist of many": (Function(torch.cdist), (t(2, 30, 3), t(2, 40, 3)), 2 * 30 * 40 * 3),
    "cdist of another exponent": (Function(lambda a, b: torch.cdist(a, b, p=1.0)), (t(30, 3), t(40, 3)), 30 * 40 * 3),
    "pdist": (Function(torch.pdist), (t(6, 3),), 15 * 3),
    "attention": (
        Function(F.scaled_dot_product_attention),
        (t(2, 4, 6, 8), t(2, 4, 7, 8), t(2, 4, 7, 8)),
        8 * 6 * 7 * 16,
    ),
    "attention with grouped queries": (
        Function(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        (t(2, 8, 16, 4), t(2, 2, 16, 4)),
        2 * 8 * 16 * 16 * 8,
    ),
    "attention with a mask": (
        Function(lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m)),
        (t(1, 2, 6, 4), torch.ones(6, 6, dtype=torch.bool)),
        2 * 6 * 6 * 8,
    ),
    "attention with another width of values": (
        Function(F.scaled_dot_product_attention),
        (t(1, 2, 6, 4), t(1, 2, 6, 4), t(1, 2, 6, 10)),
        2 * 6 * 6 * 14,
    ),
    "attention, causal": (
        Function(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True)),
        (t(1, 2, 6, 4),),
        2 * 6 * 6 * 8,
    ),
    "attention by its two products": (Kernel(SDPBackend.MATH), (t(2, 4, 6, 8),) * 3, 8 * 6 * 6 * 16),
    "attention by the fused kernel": (Kernel(SDPBackend.FLASH_ATTENTION), (t(2, 4, 6, 8),) * 3, 8 * 6 * 6 * 16),
    "attention without heads": (Function(F.scaled_dot_product_attention), (t(6, 8), t(7, 8), t(7, 8)), 6 * 7 * 16),
    "attention with grouped queries and a mask": (
        Function(lambda q, k, m: F.scaled_dot_product_attention(q, k, k, attn_mask=m, enable_gqa=True)),
        (t(2, 8, 16, 4), t(2, 2, 16, 4), torch.ones(16, 16, dtype=torch.bool)),
        2 * 8 * 16 * 16 * 8,
    ),
    "nn.MultiheadAttention": (
        nn.MultiheadAttention(16, 4, batch_first=True),
        (t(2, 5, 16),) * 3,
        10 * 4 * 256 + 2 * 2 * 25 * 16,
    ),
    "nn.MultiheadAttention without weights": (
        nn.MultiheadAttention(16, 4, batch_first=True),
        Call((t(2, 5, 16),) * 3, {"need_weights": False}),
        10 * 4 * 256 + 2 * 2 * 25 * 16,
    ),
    "nn.MultiheadAttention over something else": (
        nn.MultiheadAttention(16, 4, kdim=6, vdim=10),
        (t(5, 2, 16), t(7, 2, 6), t(7, 2, 10)),
        10 * 2 * 256 + 14 * 16 * (6 + 10) + 2 * 2 * 5 * 7 * 16,
    ),
    # One more key than there are tokens: a learnt one, or zeros.
    "nn.MultiheadAttention with a key of its own": (
        nn.MultiheadAttention(16, 4, batch_first=True, add_bias_kv=True),
        (t(2, 5, 16),) * 3,
        10 * 4 * 256 + 2 * 2 * 5 * 6 * 16,
    ),
    "nn.MultiheadAttention with a key of zeros": (
        nn.MultiheadAttention(16, 4, batch_first=True, add_zero_attn=True),
        (t(2, 5, 16),) * 3,
        10 * 4 * 256 + 2 * 2 * 5 * 6 * 16,
    ),
    "nn.TransformerDecoderLayer": (
        nn.TransformerDecoderLayer(16, 4, 32, batch_first=True),
        (t(2, 5, 16), t(2, 7, 16)),
        10 * (4 * 256 + 2 * 512) + 2 * 2 * 25 * 16 + 10 * 2 * 256 + 14 * 2 * 256 + 2 * 2 * 35 * 16,
    ),
    "nn.Transformer": (
        nn.Transformer(16, 4, 1, 1, 32, batch_first=True),
        (t(2, 7, 16), t(2, 5, 16)),
        14 * (4 * 256 + 2 * 512)
        + 2 * 2 * 49 * 16
        + 10 * (4 * 256 + 2 * 512)
        + 2 * 2 * 25 * 16
        + 10 * 2 * 256
        + 14 * 2 * 256
        + 2 * 2 * 35 * 16,
    ),
    "nn.TransformerEncoderLayer": (
        nn.TransformerEncoderLayer(16, 4, 32, batch_first=True),
        (t(2, 5, 16),),
        10 * (4 * 256 + 2 * 512) + 2 * 2 * 25 * 16,
    ),
    "nn.TransformerEncoder with padding": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2),
        (t(2, 5, 16), None, torch.tensor([[False] * 5, [False] * 3 + [True] * 2])),
        2 * (10 * (4 * 256 + 2 * 512) + 2 * 2 * 25 * 16),
    ),
    "lstm": (nn.LSTM(8, 16, 2), (t(4, 2, 8),), 8 * (64 * 24 + 64 * 32)),
    "lstm, both directions, batch first": (
        nn.LSTM(8, 16, bidirectional=True, batch_first=True),
        (t(2, 4, 8),),
        2 * 8 * 64 * 24,
    ),
    "lstm with projections": (nn.LSTM(8, 16, proj_size=4), (t(4, 2, 8),), 8 * (64 * 12 + 16 * 4)),
    "gru": (nn.GRU(8, 16), (t(4, 2, 8),), 8 * 48 * 24),
    "rnn": (nn.RNN(8, 16), (t(4, 2, 8),), 8 * 16 * 24),
    "rnn of relu without a bias": (nn.RNN(8, 16, nonlinearity="relu", bias=False), (t(4, 2, 8),), 8 * 16 * 24),
    "rnn cell": (nn.RNNCell(8, 16), (t(4, 8),), 4 * 16 * 24),
    "gru of three layers, both directions": (
        nn.GRU(8, 16, 3, bidirectional=True, dropout=0.1),
        (t(4, 2, 8),),
        2 * 8 * 48 * (24 + 48 + 48),
    ),
    "lstm without a batch": (nn.LSTM(8, 16), (t(4, 8),), 4 * 64 * 24),
    "lstm cell": (nn.LSTMCell(8, 16), (t(4, 8),), 4 * 64 * 24),
    "gru cell": (nn.GRUCell(8, 16), (t(4, 8),), 4 * 48 * 24),
    "inside inference_mode": (
        Function(torch.inference_mode()(lambda a, w: F.linear(a, w) @ w)),
        (t(2, 5, 8), t(8, 8)),
        2 * 10 * 64,
    ),
    "weight_norm": (parametrizations.weight_norm(nn.Linear(8, 4)), (t(2, 8),), 2 * 8 * 4),
    # The weight's greatest singular value: u W v.
    "spectral_norm": (parametrizations.spectral_norm(nn.Linear(8, 4)), (t(2, 8),), 2 * 8 * 4 + 8 * 4 + 4),
    "pruned by a mask": (prune.l1_unstructured(nn.Linear(8, 4), "weight", 0.5), (t(2, 8),), 2 * 8 * 4),
    "lu_solve and a triangle": (
        Function(lambda lu, p, b: torch.linalg.solve_triangular(lu, torch.linalg.lu_solve(lu, p, b), upper=True)),
        (torch.eye(4), torch.arange(1, 5, dtype=torch.int32), t(4, 3)),
        3 * (2 * 6 + 6),
    ),
    # A batch of two: the last of three reflections meets one column, the one before two.
    "householder_product": (
        Function(torch.linalg.householder_product),
        (t(2, 5, 3), t(2, 3)),
        2 * (2 * 5 * 2 + 2 * 4 * 1),
    ),
    "embedding bag": (nn.EmbeddingBag(10, 4), (torch.tensor([1, 2, 3]), torch.tensor([0, 2])), 0),
    "embedding": (nn.Embedding(10, 4), (torch.zeros(3, 2, dtype=torch.long),), 0),
    "layer norm": (nn.LayerNorm(8), (t(4, 8),), 0),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_macs_equal_the_closed_form(name):
    model, args, macs = FORWARD[name]
    seen = profile(model, args, options=QUICK)
    assert seen.cost.macs == macs
    assert seen.uncounted == ()


@pytest.mark.parametrize("name", FORWARD)
def test_training_mode_multiplies_no_more_and_no_less(name):
    model, args, macs = FORWARD[name]
    if name == "spectral_norm":
        macs += 2 * 8 * 4  # one step of the power iteration: W v and then its transpose
    seen = profile(model, args, options=TRAIN)
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


@pytest.mark.parametrize("name", FORWARD)
def test_a_forward_inside_inference_mode_counts_the_same(name):
    # Operations arrive whole there, and are taken apart by the profiler: another way through.
    model, args, macs = FORWARD[name]
    seen = profile(Inside(model, torch.inference_mode()), args, options=ProfileOptions(groups=False, backward=False))
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


# torch copies no module that was pruned, and this output stands on the CPU.
ON_META = [name for name in FORWARD if name not in ("pruned by a mask", "into a given output")]


@pytest.mark.parametrize("name", ON_META)
def test_a_model_on_meta_counts_as_one_with_numbers(name):
    model, args, macs = FORWARD[name]
    seen = profile(copy.deepcopy(model).to("meta"), args, options=ProfileOptions(groups=False, backward=False))
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


NOT_IN_BFLOAT16 = ("cdist", "pdist", "outer", "lu_solve", "householder", "spectral_norm", "into a given", "pruned")


@pytest.mark.parametrize("name", [name for name in FORWARD if not name.startswith(NOT_IN_BFLOAT16)])
def test_the_dtype_changes_no_count(name):
    model, args, macs = FORWARD[name]

    def half(value):
        return value.bfloat16() if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    call = args if isinstance(args, Call) else Call(args)
    args = Call(tuple(half(value) for value in call.args), call.kwargs)
    seen = profile(copy.deepcopy(model).bfloat16(), args, options=ProfileOptions(groups=False, backward=False))
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


@pytest.mark.parametrize("name", ["linear of rank 4", "conv2d in groups", "attention", "lstm", "matmul", "einsum"])
def test_autocast_changes_no_count(name):
    model, args, macs = FORWARD[name]
    seen = profile(Inside(model, torch.autocast("cpu", torch.bfloat16)), args, options=QUICK)
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


# Inputs that ask for a gradient: then each product costs twice its forward on the way back.
BACKWARD = {
    "linear": (nn.Linear(16, 8), (grad(4, 16),), 2.0),
    "linear with nobody asking for the input's": (nn.Linear(16, 8), (t(4, 16),), 1.0),
    "linear, frozen": (nn.Linear(16, 8).requires_grad_(requires_grad=False), (grad(4, 16),), 1.0),
    "conv2d": (nn.Conv2d(4, 6, 3), (grad(2, 4, 9, 9),), 2.0),
    "conv2d in groups": (nn.Conv2d(8, 12, 3, groups=4), (grad(2, 8, 5, 5),), 2.0),
    "conv2d depthwise": (nn.Conv2d(8, 8, 3, groups=8), (grad(2, 8, 5, 5),), 2.0),
    "conv transposed in groups": (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), (grad(2, 4, 5, 5),), 2.0),
    "matmul broadcast": (Function(torch.matmul), (grad(4, 8), grad(3, 2, 8, 5)), 2.0),
    "matrix times vector": (Function(torch.mv), (t(4, 8), grad(8)), 1.0),
    # The fused kernel computes the scores again: five products where the forward has two.
    "attention": (Function(F.scaled_dot_product_attention), (grad(2, 4, 6, 8),) * 3, 2.5),
    "attention with a mask": (
        Function(lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m)),
        (grad(1, 2, 6, 4), torch.ones(6, 6, dtype=torch.bool)),
        2.5,
    ),
    "attention by its two products": (Kernel(SDPBackend.MATH), (grad(2, 4, 6, 8),) * 3, 2.0),
    "lstm": (nn.LSTM(8, 16, 2), (grad(4, 2, 8),), 2.0),
    "linear of rank 1": (nn.Linear(16, 8), (grad(16),), 2.0),
    "linear of rank 4": (nn.Linear(16, 8), (grad(2, 3, 5, 16),), 2.0),
    "conv1d": (nn.Conv1d(4, 6, 3), (grad(2, 4, 9),), 2.0),
    "conv2d without a batch": (nn.Conv2d(4, 6, 3), (grad(4, 9, 9),), 2.0),
    "conv2d circular": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (grad(1, 4, 9, 9),), 2.0),
    "conv2d, frozen": (nn.Conv2d(4, 6, 3).requires_grad_(requires_grad=False), (grad(2, 4, 9, 9),), 1.0),
    "conv3d in groups": (nn.Conv3d(4, 6, 3, groups=2), (grad(1, 4, 5, 5, 5),), 2.0),
    "conv1d transposed": (nn.ConvTranspose1d(4, 6, 3, 2), (grad(2, 4, 5),), 2.0),
    "conv_tbc": (Function(torch.conv_tbc), (grad(9, 2, 4), grad(3, 4, 6), grad(6)), 2.0),
    "functional conv": (Function(F.conv2d), (grad(1, 4, 6, 6), grad(5, 4, 3, 3)), 2.0),
    "bmm": (Function(torch.bmm), (grad(3, 4, 8), grad(3, 8, 5)), 2.0),
    "baddbmm": (Function(torch.baddbmm), (grad(3, 4, 5), grad(3, 4, 8), grad(3, 8, 5)), 2.0),
    "addbmm": (Function(torch.addbmm), (grad(4, 5), grad(3, 4, 8), grad(3, 8, 5)), 2.0),
    "einsum": (Function(lambda a, b: torch.einsum("bij,bkj->bik", a, b)), (grad(3, 4, 8), grad(3, 5, 8)), 2.0),
    "tensordot": (Function(torch.tensordot), (grad(2, 3, 4), grad(3, 4, 5)), 2.0),
    # The gradient of a matrix that met a vector is an outer product: nothing is summed in it.
    "matrix times vector, both": (Function(torch.mv), (grad(4, 8), grad(8)), 1.0),
    "dot": (Function(torch.dot), (grad(8), grad(8)), 0.0),
    "cdist": (Function(torch.cdist), (grad(5, 3), grad(7, 3)), 2.0),
    "cdist of many": (Function(torch.cdist), (grad(30, 3), grad(40, 3)), 2.0),
    "pdist": (Function(torch.pdist), (grad(6, 3),), 2.0),
    "bilinear": (nn.Bilinear(3, 4, 5), (grad(2, 3), grad(2, 4)), 3.0),
    "lstm cell": (nn.LSTMCell(8, 16), (grad(4, 8), (grad(4, 16), grad(4, 16))), 2.0),
    "weight_norm": (parametrizations.weight_norm(nn.Linear(8, 4)), (grad(2, 8),), 2.0),
    "pruned by a mask": (prune.l1_unstructured(nn.Linear(8, 4), "weight", 0.5), (grad(2, 8),), 2.0),
    # What is computed again is work of the backward.
    "checkpoint": (
        Function(lambda x, w: checkpoint(torch.mm, x, w, use_reentrant=True)),
        (grad(4, 8), grad(8, 5)),
        3.0,
    ),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_backward_macs_are_the_stated_multiple_of_the_forward(name):
    model, args, times = BACKWARD[name]
    seen = profile(model, args, options=QUICK)
    assert seen.cost.backward_macs == times * seen.cost.macs


def test_backward_work_belongs_to_the_layer_whose_forward_made_it():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 32)
            self.norm = nn.BatchNorm1d(8)

        def forward(self, x):
            first = self.norm(self.a(x))
            return self.b(first).sum() + self.c(first).sum() + self.a(first).sum()

    seen = profile(Branches(), t(4, 8), options=ProfileOptions(train=True, groups=False))
    forward = {name: seen.layer(name).cost.macs for name in "abc"}
    backward = {name: seen.layer(name).cost.backward_macs for name in "abc"}
    assert forward == {"a": 2 * 4 * 64, "b": 4 * 128, "c": 4 * 256}
    # `a` runs twice; its first call is fed by the input, which asks for nothing.
    assert backward == {"a": 3 * 4 * 64, "b": 2 * 4 * 128, "c": 2 * 4 * 256}
    assert seen.layer("norm").cost.backward_macs == seen.layer("").self_cost.backward_macs == 0


def test_the_products_of_all_experts_are_counted_by_the_rows_that_each_gets():
    def half(*shape):
        return torch.zeros(*shape, dtype=torch.bfloat16)

    def ends(*places):
        return torch.tensor(places, dtype=torch.int32)

    rows = profile(Function(torch._grouped_mm), (half(6, 16), half(2, 16, 8), ends(2, 6)), options=QUICK)
    inner = profile(Function(torch._grouped_mm), (half(8, 24), half(24, 16), ends(8, 24)), options=QUICK)
    assert rows.cost.macs == 2 * 16 * 8 + 4 * 16 * 8
    assert inner.cost.macs == 8 * 8 * 16 + 8 * 16 * 16
    assert (rows.uncounted, inner.uncounted) == ((), ())


@pytest.mark.parametrize(("layer", "gates"), [(nn.GRU, 3), (nn.RNN, 1)])
def test_a_recurrent_backward_needs_no_gradient_for_a_hidden_state_of_zeros(layer, gates):
    seen = profile(layer(8, 16), grad(4, 2, 8), options=TRAIN)
    # Twice the forward; but for the first step, nobody asks how the state before it should have been.
    assert seen.cost.macs == 8 * gates * 16 * 24
    assert seen.cost.backward_macs == 2 * seen.cost.macs - 2 * gates * 16 * 16


def again(use_reentrant):
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Tanh())

        def forward(self, x):
            return checkpoint(self.block, x, use_reentrant=use_reentrant)

    return Again()


def branching():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)

        def forward(self, x):
            return self.b(self.a(x) * self.b(x)) @ self.a.weight

    return Branching()


REAL = {
    "mlp": (nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)), grad(3, 8)),
    "convolutions": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)),
        grad(2, 3, 8, 8),
    ),
    "gru": (nn.GRU(8, 16, 2, bidirectional=True), grad(4, 2, 8)),
    "attention by its two products": (Kernel(SDPBackend.MATH), (grad(2, 4, 6, 8),) * 3),
    "checkpoint": (again(use_reentrant=True), grad(3, 8)),
    "checkpoint that stops early": (again(use_reentrant=False), grad(3, 8)),
    "orthogonal": (parametrizations.orthogonal(nn.Linear(8, 4), orthogonal_map="householder"), grad(3, 8)),
    "shared, tied, used raw": (branching(), grad(3, 8)),
    "einsum": (
        Function(lambda a, b, c: torch.einsum("bi,oij,bj->bo", a, b, c)),
        (grad(2, 3), grad(5, 3, 4), grad(2, 4)),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_both_directions_equal_what_torchs_own_counter_sees_in_a_real_run(name):
    # FlopCounterMode is right where no kernel is fused and no convolution is in groups; it counts 2 FLOPs a MAC.
    model, args = REAL[name]
    seen = profile(model, args, options=TRAIN)
    twin = copy.deepcopy(model).train()
    with FlopCounterMode(display=False) as counter:
        outs = twin(*(args if isinstance(args, tuple) else (args,)))
        forward = counter.get_total_flops()
        outs = outs if isinstance(outs, tuple) else (outs,)
        torch.autograd.backward(outs, [torch.ones_like(out) for out in outs])
    reflections = 2 * (8 * 3 + 7 * 2 + 6 * 1) if name == "orthogonal" else 0  # it does not know them
    assert 2 * (seen.cost.macs - reflections) == forward
    assert 2 * seen.cost.backward_macs == counter.get_total_flops() - forward


def test_packed_sequences_cost_their_own_lengths_and_not_the_longest():
    lengths = torch.tensor([4, 1, 2])
    for layer, gates in ((nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)):
        for ways in (1, 2):
            model = Packed(layer(8, 16, bidirectional=ways == 2))
            seen = profile(model, (t(4, 3, 8), lengths), options=QUICK)
            assert seen.cost.macs == ways * 7 * gates * 16 * 24
            assert seen.uncounted == ()


def dynamic(model, kinds, dtype=torch.qint8):
    from torch.ao.quantization import quantize_dynamic

    return quantize_dynamic(model, kinds, dtype=dtype)


QUANTISED = {
    "linear": (nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)), (t(4, 32),), 4 * (32 * 64 + 64 * 8)),
    "linear of rank 3": (nn.Sequential(nn.Linear(32, 64)), (t(2, 5, 32),), 10 * 32 * 64),
    "lstm": (nn.Sequential(nn.LSTM(8, 16)), (t(4, 2, 8),), 8 * 64 * 24),
    "lstm of two layers, both directions": (
        nn.Sequential(nn.LSTM(8, 16, 2, bidirectional=True)),
        (t(4, 2, 8),),
        2 * 8 * 64 * (24 + 48),
    ),
    "gru": (nn.Sequential(nn.GRU(8, 16)), (t(4, 2, 8),), 8 * 48 * 24),
    "lstm cell": (nn.Sequential(nn.LSTMCell(8, 16)), (t(2, 8),), 2 * 64 * 24),
    "gru cell": (nn.Sequential(nn.GRUCell(8, 16)), (t(2, 8),), 2 * 48 * 24),
    "rnn cell": (nn.Sequential(nn.RNNCell(8, 16)), (t(2, 8),), 2 * 16 * 24),
}
FORWARD_ONLY = ProfileOptions(groups=False, backward=False)


@pytest.mark.filterwarnings(
    "ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:torch.quantize_per:UserWarning"
)
@pytest.mark.parametrize("name", QUANTISED)
def test_eight_bits_do_as_many_products(name):
    model, args, macs = QUANTISED[name]
    model = dynamic(model, {nn.Linear, nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell})
    seen = profile(model, args, options=FORWARD_ONLY)
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning", "ignore::UserWarning")
def test_a_statically_quantised_network_does_as_many_products():
    from torch.ao import quantization

    model = nn.Sequential(
        quantization.QuantStub(), nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    ).eval()
    model.qconfig = quantization.get_default_qconfig()
    quantization.prepare(model, inplace=True)
    model(torch.randn(1, 4, 8, 8))
    quantization.convert(model, inplace=True)
    seen = profile(model, t(2, 4, 8, 8), options=FORWARD_ONLY)
    assert (seen.cost.macs, seen.uncounted) == (2 * (36 * 8 * 2 * 9 + 288 * 10), ())


def int4(weight):
    return torch._convert_weight_to_int4pack_for_cpu(weight, 2)


WEIGHT_ONLY = {
    "eight bits": (
        torch._weight_int8pack_mm,
        (t(4, 32).bfloat16(), torch.zeros(64, 32, dtype=torch.int8), torch.ones(64).bfloat16()),
        4 * 32 * 64,
    ),
    "four bits": (
        lambda x, w, s: torch._weight_int4pack_mm_for_cpu(x, w, 32, s),
        (t(4, 64).bfloat16(), int4(torch.zeros(64, 64, dtype=torch.int32)), torch.ones(2, 64, 2).bfloat16()),
        4 * 64 * 64,
    ),
    "eight bits, both": (
        torch._int_mm,
        (torch.zeros(32, 32, dtype=torch.int8), torch.zeros(32, 64, dtype=torch.int8)),
        32 * 32 * 64,
    ),
    "made wide before": (
        lambda x, w, s: F.linear(x, w.to(x.dtype) * s),
        (t(4, 32), torch.zeros(64, 32, dtype=torch.int8), torch.ones(64, 1)),
        4 * 32 * 64,
    ),
}


@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_a_narrow_weight_meets_every_row(name):
    function, args, macs = WEIGHT_ONLY[name]
    seen = profile(Function(function), args, options=FORWARD_ONLY)
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


def three():
    """Three entries of 8 x 6, one of them a zero that is stored."""
    weight = torch.zeros(8, 6)
    weight[0, 0], weight[3, 4] = 1.0, 2.0
    indices = torch.tensor([[0, 3, 7], [0, 4, 5]])
    return torch.sparse_coo_tensor(indices, torch.tensor([1.0, 2.0, 0.0]), weight.shape).coalesce()


SPARSE = {
    "coo": (torch.sparse.mm, lambda w: (w, t(6, 5)), 3 * 5),
    "csr": (torch.matmul, lambda w: (w.to_sparse_csr(), t(6, 5)), 3 * 5),
    "vector": (torch.mv, lambda w: (w, t(6)), 3),
    "linear": (F.linear, lambda w: (t(5, 6), w.to_sparse_csr()), 3 * 5),
    "added": (torch.addmm, lambda w: (t(8, 5), w.to_sparse_csr(), t(6, 5)), 3 * 5),
    "only where entries stand": (
        torch.sparse.sampled_addmm,
        lambda w: (w.to_sparse_csr(), t(8, 5), t(5, 6)),
        3 * 5,
    ),
    "made in the forward": (lambda w, x: torch.sparse.mm(w.to_sparse(), x), lambda w: (w.to_dense(), t(6, 5)), 2 * 5),
}


@pytest.mark.filterwarnings("ignore:Sparse.*support is in beta:UserWarning", "ignore:Sparse invariant:UserWarning")
@pytest.mark.parametrize("name", SPARSE)
def test_a_sparse_kernel_multiplies_by_each_stored_entry(name):
    function, make, macs = SPARSE[name]
    seen = profile(Function(function), make(three()), options=FORWARD_ONLY)
    assert (seen.cost.macs, seen.uncounted) == (macs, ())


def test_every_formula_belongs_to_an_operation_that_torch_has():
    spaces = {"aten": torch.ops.aten, "quantized": torch.ops.quantized, "higher_order": torch.ops.higher_order}
    missing = [name for name in FORMULAS if not hasattr(spaces[name.split("::")[0]], name.split("::")[1])]
    assert missing == []


def test_a_formula_that_a_user_registers_with_torch_is_used():
    @torch.library.custom_op("effwidgets_tests::thrice", mutates_args=())
    def thrice(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    @thrice.register_fake
    def _(x):
        return torch.empty_like(x)

    class Thrice(nn.Module):
        def forward(self, x):
            return thrice(x)

    @register_flop_formula(torch.ops.effwidgets_tests.thrice)
    def flops(shape, *_args, out_shape=None, **_kwargs):
        return 2 * 7 * shape[0]

    seen = profile(Thrice(), t(4, 2), options=FORWARD_ONLY)
    assert (seen.cost.macs, seen.uncounted) == (4 * 7, ())


def test_what_has_to_find_something_first_is_named_and_not_counted():
    model = parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="matrix_exp")
    seen = profile(model, t(1, 4), options=FORWARD_ONLY)
    assert [entry.op for entry in seen.uncounted] == ["linalg_matrix_exp"]
