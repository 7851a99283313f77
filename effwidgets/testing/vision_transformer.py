"""Vision transformers of the published shapes.

Dosovitskiy et al. 2021, arXiv:2010.11929, table 1; the small one: Steiner et al. 2021, arXiv:2106.10270, table 2.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["vit_b_16", "vit_b_32", "vit_l_16", "vit_s_16"]


class _Block(nn.Module):
    # Norm first; torch's own attention, whose fused path hides its work.
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.norm1(x)
        x = x + self.attention(rows, rows, rows, need_weights=False)[0]
        out: torch.Tensor = x + self.narrow(functional.gelu(self.widen(self.norm2(x))))
        return out


class _VisionTransformer(nn.Module):
    def __init__(self, width: int, depth: int, patch: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (224 // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(_Block(width, width // 64) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.position
        logits: torch.Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


def vit_s_16(classes: int = 1000) -> nn.Module:
    """12 blocks of width 384, patches of 16: pictures of 224 x 224."""
    return _VisionTransformer(384, 12, 16, classes)


def vit_b_16(classes: int = 1000) -> nn.Module:
    """12 blocks of width 768, patches of 16: 86,567,656 parameters and 17,563,828,224 MACs at 224 x 224."""
    return _VisionTransformer(768, 12, 16, classes)


def vit_b_32(classes: int = 1000) -> nn.Module:
    """12 blocks of width 768, patches of 32: pictures of 224 x 224."""
    return _VisionTransformer(768, 12, 32, classes)


def vit_l_16(classes: int = 1000) -> nn.Module:
    """24 blocks of width 1,024, patches of 16: pictures of 224 x 224."""
    return _VisionTransformer(1024, 24, 16, classes)
