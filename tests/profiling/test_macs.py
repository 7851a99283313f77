"""Every operation that multiplies matrices, by formulas written here from the shapes; in both directions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from effwidgets.profiling import ProfileOptions, profile

QUICK = ProfileOptions(groups=False)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


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
    "bilinear": (nn.Bilinear(3, 4, 5), (t(2, 3), t(2, 4)), 2 * 3 * 4 * 5),
    "cdist": (Function(torch.cdist), (t(5, 3), t(7, 3)), 5 * 7 * 3),
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
    "nn.MultiheadAttention": (
        nn.MultiheadAttention(16, 4, batch_first=True),
        (t(2, 5, 16),) * 3,
        10 * 4 * 256 + 2 * 2 * 25 * 16,
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
    "lstm cell": (nn.LSTMCell(8, 16), (t(4, 8),), 4 * 64 * 24),
    "gru cell": (nn.GRUCell(8, 16), (t(4, 8),), 4 * 48 * 24),
    "inside inference_mode": (
        Function(torch.inference_mode()(lambda a, w: F.linear(a, w) @ w)),
        (t(2, 5, 8), t(8, 8)),
        2 * 10 * 64,
    ),
    "embedding": (nn.Embedding(10, 4), (torch.zeros(3, 2, dtype=torch.long),), 0),
    "layer norm": (nn.LayerNorm(8), (t(4, 8),), 0),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_macs_equal_the_closed_form(name):
    model, args, macs = FORWARD[name]
    seen = profile(model, args, options=QUICK)
    assert seen.cost.macs == macs
    assert seen.uncounted == ()


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
    "lstm": (nn.LSTM(8, 16, 2), (grad(4, 2, 8),), 2.0),
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
