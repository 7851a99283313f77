"""Language models of the published shapes, with random weights: transformers' own classes, from configurations.

Devlin et al. 2019, arXiv:1810.04805 (BERT-base); Radford et al. 2019 (GPT-2, the smallest of its table 2); Touvron et
al. 2023, arXiv:2307.09288, with the vocabulary of Llama 3 (a Llama of 70 billion parameters). transformers is imported
when one of them is built.
"""

from __future__ import annotations

from torch import nn

__all__ = ["bert_base", "gpt2", "llama_70b"]


def bert_base() -> nn.Module:
    """12 layers of width 768: 109,482,240 parameters, with the pooler."""
    from transformers import BertConfig, BertModel

    model: nn.Module = BertModel(BertConfig())
    return model


def gpt2() -> nn.Module:
    """12 layers of width 768, the embedding again as head: 124,439,808 parameters."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model: nn.Module = GPT2LMHeadModel(GPT2Config())
    return model


def llama_70b() -> nn.Module:
    """80 layers of width 8,192, grouped queries: 70,553,706,496 parameters.

    Build it on meta in bfloat16: as numbers it would be 141 GB.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128_256,
        hidden_size=8192,
        intermediate_size=28_672,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    )
    model: nn.Module = LlamaForCausalLM(config)
    return model
