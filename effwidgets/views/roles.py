"""What a layer does, by the name of its class, and the colour that figures give it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ROLES", "Role", "role_of"]


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of work: its title and its colour, on which white text is read (contrast at least 4.5)."""

    title: str
    colour: str


# The first that is found in the name of the class is taken: "SelfAttention" before "Linear", "LayerNorm" before all.
_WORDS: Final = (
    (r"norm", "Normalization"),
    (r"embed|patch", "Embedding"),
    (r"attention|attn", "Attention"),
    (r"conv", "Convolution"),
    (r"lstm|gru|rnn|recurrent", "Recurrence"),
    (r"linear|bilinear|dense$|mlp|feedforward", "Linear"),
    (r"relu|gelu|silu|elu|sigmoid|tanh|softmax|softplus|swish|mish|activation|glu", "Activation"),
    (r"pool|upsample|pixel", "Pooling"),
)
_COLOURS: Final = {
    "Convolution": "#2f6fd0",
    "Linear": "#b3590a",
    "Attention": "#7a57c9",
    "Recurrence": "#b02a6b",
    "Normalization": "#1f7d55",
    "Embedding": "#846810",
    "Activation": "#b8463f",
    "Pooling": "#2b7689",
    "Other": "#66707c",
}
_READERS: Final = tuple((re.compile(words, re.IGNORECASE), title) for words, title in _WORDS)

ROLES: Final = {title: Role(title, colour) for title, colour in _COLOURS.items()}
"""By title; "Other" holds blocks and whatever is not known."""


def role_of(kind: str) -> Role:
    """Return the role of a class by its name.

    >>> role_of("Conv2d").title, role_of("BertSelfAttention").title, role_of("Bottleneck").title
    ('Convolution', 'Attention', 'Other')
    """
    return ROLES[next((title for reader, title in _READERS if reader.search(kind)), "Other")]
