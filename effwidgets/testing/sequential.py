"""The zoo's other half: attention, language, recurrence, and plain layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["GatedNet", "LittleGpt", "Recurrent", "SelfAttention", "ViT", "WithRawParameter", "perceptron"]


class _Attention(nn.Module):
    """Self-attention with one fused projection and the functional product, as vision libraries write it."""

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads, causal=causal)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        out: torch.Tensor = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return out


class ViT(nn.Module):
    """Patches of 4 x 4 of a 16 x 16 picture, a class token, one block of width 24 with 4 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 24))
        self.position = nn.Parameter(torch.randn(1, 17, 24))
        self.block = _Block(24, 4)
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.position
        logits: torch.Tensor = self.head(self.norm(self.block(tokens))[:, 0])
        return logits


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.attn = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five numbers for each token."""
        x = self.embed(x)
        logits: torch.Tensor = self.head(self.attn(x, x, x, need_weights=False)[0])
        return logits


class LittleGpt(nn.Module):
    """Embeddings of 40 words, one causal block of width 16, the word embedding again as head."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 16)
        self.places = nn.Embedding(12, 16)
        self.block = _Block(16, 2, causal=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 40, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return a number for each word at each place."""
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        logits: torch.Tensor = self.head(self.norm(self.block(x)))
        return logits


class GatedNet(nn.Module):
    """A gated linear unit, 12-20-12, as language models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 12)
        self.gate = nn.Linear(12, 20, bias=False)
        self.up = nn.Linear(12, 20, bias=False)
        self.down = nn.Linear(20, 12, bias=False)
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return four numbers for each token."""
        x = self.stem(x)
        logits: torch.Tensor = self.head(x + self.down(functional.silu(self.gate(x)) * self.up(x)))
        return logits


class Recurrent(nn.Module):
    """A linear layer, two LSTM layers, a head on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return three numbers."""
        logits: torch.Tensor = self.head(self.lstm(self.embed(x))[0][:, -1])
        return logits


class WithRawParameter(nn.Module):
    """A weight that no layer holds, used by the functional form."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 12)
        self.weight = nn.Parameter(torch.randn(6, 12))
        self.last = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return four numbers."""
        x = functional.relu(self.first(x))
        logits: torch.Tensor = self.last(functional.relu(functional.linear(x, self.weight)))
        return logits


def perceptron() -> nn.Sequential:
    """Three linear layers, 12-32-32-5."""
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))
