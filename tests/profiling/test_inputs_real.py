"""Real models as people call them: batches of a tokenizer in, records out, forwards that read their inputs."""

import pytest
import torch
from torch import nn

from effwidgets.errors import ModelError
from effwidgets.profiling import Call, ProfileOptions, profile
from effwidgets.profiling.build import on_meta

transformers = pytest.importorskip("transformers")

QUICK = ProfileOptions(groups=False)
SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
VISION = {name: SMALL[name] for name in SMALL if name not in ("vocab_size", "max_position_embeddings")}
TOKENS = torch.arange(8)[None]
PICTURE = torch.zeros(1, 3, 16, 16)


def block(tokens, inner):
    """Q, K, V and O of width 32, two products over all pairs of tokens, and what comes after."""
    return tokens * (4 * 32 * 32 + inner * 32 * 48) + 2 * tokens * tokens * 32


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))


def bert():
    return transformers.BertModel(transformers.BertConfig(**SMALL))


def gpt2():
    config = transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_inner=48, n_positions=64)
    return transformers.GPT2LMHeadModel(config)


def vit():
    config = transformers.ViTConfig(**VISION, image_size=16, patch_size=8)
    return transformers.ViTForImageClassification(config)


def t5():
    config = transformers.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def whisper():
    config = transformers.WhisperConfig(
        vocab_size=64, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=8, max_source_positions=10,
        max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return transformers.WhisperForConditionalGeneration(config)


# Encoder of 8 tokens, decoder of 5 that looks at both.
_T5_MACS = 2 * block(8, 2) + 2 * (block(5, 2) + 5 * 2 * 32 * 32 + 8 * 2 * 32 * 32 + 2 * 5 * 8 * 32) + 5 * 32 * 64
# Two convolutions over time (20 steps, then 10), encoder of 10, decoder of 4.
_WHISPER_MACS = (
    20 * 32 * 8 * 3 + 10 * 32 * 32 * 3 + 2 * block(10, 2)
    + 2 * (block(4, 2) + 4 * 2 * 32 * 32 + 10 * 2 * 32 * 32 + 2 * 4 * 10 * 32) + 4 * 32 * 64
)  # fmt: skip

MODELS = {
    "llama": (llama, {"input_ids": TOKENS}, 2 * block(8, 3) + 8 * 32 * 64),
    "bert": (bert, {"input_ids": TOKENS}, 2 * block(8, 2) + 32 * 32),
    "bert with a mask": (
        bert,
        {"input_ids": TOKENS, "attention_mask": torch.ones(1, 8, dtype=torch.long)},
        2 * block(8, 2) + 32 * 32,
    ),
    "gpt2": (gpt2, {"input_ids": TOKENS}, 2 * block(8, 2) + 8 * 32 * 64),
    "vit": (vit, {"pixel_values": PICTURE}, 4 * 32 * 192 + 2 * block(5, 2) + 32 * 2),
    "t5": (t5, {"input_ids": TOKENS, "decoder_input_ids": TOKENS[:, :5]}, _T5_MACS),
    "whisper": (
        whisper,
        {"input_features": torch.zeros(1, 8, 20), "decoder_input_ids": TOKENS[:, :4]},
        _WHISPER_MACS,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_transformers_call_without_hand_made_masks_is_counted_exactly(name):
    build, inputs, macs = MODELS[name]
    seen = profile(build(), inputs, options=QUICK)
    assert (seen.cost.macs, seen.uncounted, seen.notes) == (macs, (), ())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_given_as_its_builder_costs_the_same(name):
    build, inputs, _ = MODELS[name]
    real, built = profile(build(), inputs, options=QUICK), profile(on_meta(build), inputs, options=QUICK)
    assert built.cost == real.cost
    assert (built.memory, built.notes) == (real.memory, ())


@pytest.mark.parametrize("name", [name for name in MODELS if "mask" not in name])
def test_inputs_on_meta_cost_the_same(name):
    build, inputs, _ = MODELS[name]
    # A mask on meta has no values, so nobody can tell that it hides nothing: left out here.
    empty = {key: value.to("meta") for key, value in inputs.items()}
    assert profile(on_meta(build), empty, options=QUICK).cost == profile(build(), inputs, options=QUICK).cost


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_bfloat16_takes_two_bytes_off_each_parameter_and_changes_no_product(name):
    build, inputs, macs = MODELS[name]
    whole = profile(on_meta(build), inputs, options=QUICK).cost
    half = profile(on_meta(build, dtype=torch.bfloat16), inputs, options=QUICK).cost
    assert half.macs == macs
    # Buffers keep their bytes: frequencies that are stated in float32, and positions.
    assert whole.param_bytes - half.param_bytes == 2 * half.params


def test_a_tokenizers_batch_is_taken_as_it_comes():
    batch = transformers.BatchEncoding(
        {"input_ids": TOKENS.repeat(2, 1), "attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3])}
    )
    seen = profile(bert(), batch, options=QUICK)
    assert seen.cost.macs == 2 * (2 * block(8, 2) + 32 * 32)
    assert seen.inputs == ((2, 8), (2, 8))
    assert seen.notes == ()
    assert isinstance(batch, transformers.BatchEncoding)
    assert profile(bert(), Call((), batch), options=QUICK).cost == seen.cost


def test_the_shapes_of_a_record_of_outputs_are_read():
    seen = profile(llama(), {"input_ids": TOKENS, "use_cache": False}, options=QUICK)
    assert seen.layer("").outputs == ((1, 8, 64),)
    named = profile(bert(), {"input_ids": TOKENS, "output_hidden_states": True}, options=QUICK)
    assert named.layer("").outputs == ((1, 8, 32), (1, 32), *[(1, 8, 32)] * 3)


def test_labels_bring_a_loss_and_no_more_products():
    plain = profile(t5(), {"input_ids": TOKENS, "decoder_input_ids": TOKENS[:, :5]}, options=QUICK)
    taught = profile(t5(), {"input_ids": TOKENS, "labels": TOKENS[:, :5]}, options=QUICK)
    assert taught.cost.macs == plain.cost.macs
    assert taught.layer("").outputs[0] == ()


def test_every_expert_is_counted_by_the_rows_that_it_gets():
    config = transformers.MixtralConfig(**SMALL, num_key_value_heads=4, num_local_experts=4, num_experts_per_tok=2)
    seen = profile(on_meta(lambda: transformers.MixtralForCausalLM(config)), {"input_ids": TOKENS}, options=QUICK)
    # Each token goes through two of the four experts; the router looks at all.
    attention = 8 * 4 * 32 * 32 + 2 * 8 * 8 * 32
    assert seen.cost.macs == 2 * (attention + 8 * 32 * 4 + 2 * 8 * 3 * 32 * 48) + 8 * 32 * 64
    assert (seen.uncounted, seen.notes) == ((), ())


class Reads(nn.Module):
    """A layer that is used as often, or as much, as the input says."""

    def __init__(self, how):
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.how = how

    def forward(self, x, n):
        return self.how(self.layer, x, n)


def times(layer, x, n):
    for _ in range(n.item()):
        x = layer(x)
    return x


def while_positive(layer, x, n):
    while n > 0:
        x, n = layer(x), n - 1
    return x


def if_any(layer, x, n):
    return layer(x) if (n == 3).any() else x


def where_true(layer, x, n):
    return layer(x[n > 1])


def where_nonzero(layer, x, n):
    return layer(x[n.nonzero().squeeze(1)])


def each_kind(layer, x, n):
    return torch.stack([layer(x[n == kind].sum(0)) for kind in n.unique()])


def first_few(layer, x, n):
    return layer(x[: int(n.max())])


def as_a_number(layer, x, n):
    return layer(x.repeat(len(n.tolist()), 1))


def twice_as_mask(layer, x, n):
    return layer(x[(n > 0) & (n < 3)])


X = torch.zeros(4, 8)
READS = {
    "item": (times, torch.tensor(3), 3 * 4),
    "while": (while_positive, torch.tensor(2), 2 * 4),
    "if": (if_any, torch.tensor([1, 3]), 4),
    "if not": (if_any, torch.tensor([1, 2]), 0),
    "a boolean index": (where_true, torch.tensor([0, 2, 1, 3]), 2),
    "nonzero": (where_nonzero, torch.tensor([0, 2, 0, 3]), 2),
    "unique": (each_kind, torch.tensor([5, 7, 5, 9]), 3),
    "a slice": (first_few, torch.tensor([1, 3]), 3),
    "tolist": (as_a_number, torch.tensor([1, 2, 3]), 3 * 4),
    "masks that meet": (twice_as_mask, torch.tensor([0, 2, 1, 3]), 2),
}


@pytest.mark.parametrize("name", READS)
def test_a_forward_that_reads_whole_numbers_goes_the_way_that_they_say(name):
    how, n, rows = READS[name]
    seen = profile(Reads(how), (X, n), options=QUICK)
    assert (seen.cost.macs, seen.uncounted, seen.notes) == (rows * 64, (), ())
    # The real model goes the same way.
    calls = []
    model = Reads(how)
    model.layer.register_forward_hook(lambda _module, args, _out: calls.append(args[0].numel() // 8))
    model(X, n)
    assert sum(calls) == rows


@pytest.mark.parametrize("name", READS)
def test_the_same_on_meta_where_only_the_input_has_numbers(name):
    how, n, rows = READS[name]
    seen = profile(on_meta(lambda: Reads(how)), (X, n), options=QUICK)
    assert (seen.cost.macs, seen.notes) == (rows * 64, ())


def until_small(layer, x, _n):
    while x.abs().max() > 0.5:
        x = layer(x) * 0
    return x


def test_a_forward_that_reads_its_activations_runs_on_a_copy_and_says_so():
    seen = profile(Reads(until_small), (X + 1, torch.tensor(0)), options=QUICK)
    assert seen.cost.macs == 4 * 64
    assert len(seen.notes) == 1
    assert "copy" in seen.notes[0]


def test_without_numbers_it_is_an_error_that_names_the_cause():
    with pytest.raises(ModelError, match="Reads"):
        profile(on_meta(lambda: Reads(until_small)), (X + 1, torch.tensor(0)), options=QUICK)
