"""Obstacles of attention: torch's own modules, which read weights of their parts, and heads cut by stated widths."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tests.transforms.obstacles.case import FORMATS, Case, numbers, seeded


class Attention(nn.Module):
    """Self-attention of width 32 with 4 heads in plain layers: its forward states the width of a head, or derives it.

    Called like ``nn.MultiheadAttention``, of which it returns the first answer.
    """

    def __init__(self, *, follows: bool = True) -> None:
        super().__init__()
        self.heads = 4
        self.head_width = 8
        self.follows = follows
        self.qkv = nn.Linear(32, 96)
        self.out_proj = nn.Linear(32, 32)

    def forward(self, x, *_same, need_weights: bool = False):
        batch, tokens, width = x.shape
        each = self.head_width if self.follows else width // self.heads
        query, key, value = self.qkv(x).reshape(batch, tokens, 3, self.heads, each).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        return self.out_proj(mixed.reshape(batch, tokens, -1 if self.follows else width)), None


class Attending(nn.Module):
    """A linear layer, an attention, a head."""

    def __init__(self, attn: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 32)
        self.norm = norm or nn.Identity()
        self.attn = attn
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = self.norm(self.embed(x))
        return self.head(self.attn(x, x, x, need_weights=False)[0])


class Written(nn.Module):
    """The parts of an ``nn.TransformerEncoderLayer``, called one after the other."""

    def __init__(self, layer: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.self_attn = layer.self_attn
        self.linear1, self.linear2 = layer.linear1, layer.linear2
        self.norm1, self.norm2 = layer.norm1, layer.norm2

    def forward(self, x):
        x = self.norm1(x + self.self_attn(x, x, x, need_weights=False)[0])
        return self.norm2(x + self.linear2(torch.relu(self.linear1(x))))


def _encoder() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)


def _torchs() -> nn.Module:
    return Attending(nn.MultiheadAttention(32, 4, batch_first=True))


_TOKENS = numbers(2, 7, 6)
_MULTIHEAD = seeded(_torchs, _TOKENS)
_OWN = seeded(lambda: Attending(Attention()), _TOKENS)
_STATED = seeded(lambda: Attending(Attention(follows=False)), _TOKENS)
_STATED_BEHIND_NORM = seeded(lambda: Attending(Attention(follows=False), nn.LayerNorm(32)), _TOKENS)
_OWN_BEHIND_NORM = seeded(lambda: Attending(Attention(), nn.LayerNorm(32)), _TOKENS)
_ENCODER = seeded(lambda: nn.Sequential(_encoder()), numbers(2, 7, 16))
_WRITTEN = seeded(lambda: nn.Sequential(Written(_encoder())), numbers(2, 7, 16))
_READ = ("int8", "bf16", "codebook", "low_rank")

ATTENTION = (
    Case(
        reason="the forward states a number that does not follow when channels go (*",
        techniques=("channel_prune",),
        blocked=_STATED_BEHIND_NORM,
        freed=_OWN_BEHIND_NORM,
        at="embed",
    ),
    Case(
        reason="its parent MultiheadAttention reads its weight directly",
        techniques=_READ,
        blocked=_MULTIHEAD,
        freed=_OWN,
        at="attn.out_proj",
    ),
    Case(
        reason="its parent TransformerEncoderLayer reads its weight directly",
        techniques=_READ,
        blocked=_ENCODER,
        freed=_WRITTEN,
        at="0.linear1",
    ),
    Case(
        reason="its query, key and value projections are one raw parameter that a fused operation reads",
        techniques=FORMATS,
        blocked=_MULTIHEAD,
        freed=_OWN,
        at="attn",
        then="attn.qkv",
    ),
    Case(
        reason="its query, key and value projections are one raw parameter, not a Linear",
        techniques=("low_rank",),
        blocked=_MULTIHEAD,
        freed=_OWN,
        at="attn",
        then="attn.qkv",
    ),
    Case(
        reason="it goes into the attention heads of *",
        techniques=("channel_prune",),
        blocked=_MULTIHEAD,
        freed=_OWN,
        at="embed",
    ),
    Case(
        reason="the forward of * (nn.MultiheadAttention) cuts its heads from embed_dim, its width",
        techniques=("channel_prune",),
        blocked=_MULTIHEAD,
        freed=_OWN,
        at="attn",
        then="attn.qkv",
    ),
    Case(
        reason="it did not run as a layer: nothing reads its weight, or the forward of another does",
        techniques=("channel_prune",),
        blocked=_MULTIHEAD,
        freed=_OWN,
        at="attn.out_proj",
    ),
    Case(
        reason="the forward of * takes the width of a head, or of all heads, from a width that stays when a head goes "
        "(*); it would follow if it reshaped by the width of a head and -1",
        techniques=("channel_prune",),
        blocked=_STATED,
        freed=_OWN,
        at="attn.qkv",
    ),
)
"""One for each reason."""
