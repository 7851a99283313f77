"""The zoo's other spellings of attention, gates and recurrence."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ChunkedGate", "GatedInput", "Gru", "SeparateAttention", "SplitGpt"]


class _SplitAttention(nn.Module):
    """One fused projection that ``split`` cuts at a stated width, as small GPTs write it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.n_head = heads
        self.n_embd = width
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        cut = self.c_attn(x).split(self.n_embd, dim=2)
        query, key, value = (y.view(batch, tokens, self.n_head, width // self.n_head).transpose(1, 2) for y in cut)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: torch.Tensor = self.c_proj(mixed.transpose(1, 2).contiguous().view(batch, tokens, width))
        return out


class _SplitBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = _SplitAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        out: torch.Tensor = x + self.c_proj(functional.gelu(self.c_fc(self.ln_2(x))))
        return out


class SplitGpt(nn.Module):
    """Embeddings of 30 words, two causal blocks of width 16, a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(30, 16)
        self.wpe = nn.Embedding(10, 16)
        self.h = nn.ModuleList([_SplitBlock(16, 4), _SplitBlock(16, 4)])
        self.ln_f = nn.LayerNorm(16)
        self.lm_head = nn.Linear(16, 30, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return a number for each word at each place."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        logits: torch.Tensor = self.lm_head(self.ln_f(x))
        return logits


class SeparateAttention(nn.Module):
    """Query, key and value as layers of their own, stated head sizes, the products written out, a norm behind."""

    def __init__(self) -> None:
        super().__init__()
        self.num_attention_heads = 4
        self.attention_head_size = 6
        self.all_head_size = 24
        self.embed = nn.Linear(10, 24)
        self.query = nn.Linear(24, self.all_head_size)
        self.key = nn.Linear(24, self.all_head_size)
        self.value = nn.Linear(24, self.all_head_size)
        self.dense = nn.Linear(self.all_head_size, 24)
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 4)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        shape = (*x.shape[:-1], self.num_attention_heads, self.attention_head_size)
        return x.view(shape).permute(0, 2, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return four numbers for each token."""
        x = self.embed(x)
        query, key, value = self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.attention_head_size)
        mixed = torch.matmul(scores.softmax(-1), value).permute(0, 2, 1, 3).contiguous()
        mixed = mixed.view((*mixed.shape[:-2], self.all_head_size))
        logits: torch.Tensor = self.head(self.norm(x + self.dense(mixed)))
        return logits


class GatedInput(nn.Module):
    """A gated linear unit 8-20-8 around which the model's own input is added."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(8, 20, bias=False)
        self.up_proj = nn.Linear(8, 20, bias=False)
        self.down_proj = nn.Linear(20, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return eight numbers for each token."""
        out: torch.Tensor = x + self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class ChunkedGate(nn.Module):
    """A gated linear unit whose two halves one layer makes: 8-12, 12-2x20, 20-12, 12-4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 12)
        self.both = nn.Linear(12, 40)
        self.down = nn.Linear(20, 12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return four numbers for each token."""
        x = functional.relu(self.stem(x))
        gate, value = self.both(x).chunk(2, dim=-1)
        logits: torch.Tensor = self.head(x + self.down(functional.gelu(gate) * value))
        return logits


class Gru(nn.Module):
    """A linear layer, a GRU, a head on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.gru = nn.GRU(8, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return three numbers."""
        logits: torch.Tensor = self.head(self.gru(self.embed(x))[0][:, -1])
        return logits
