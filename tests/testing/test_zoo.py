"""The zoo itself: same values each time, no trace left, real forwards."""

import pytest
import torch

from effwidgets.errors import UnknownNameError
from effwidgets.profiling.calls import run, tensors_in
from effwidgets.testing.menagerie import planted
from effwidgets.testing.zoo import MODELS, resnet18, resnet50, specimen


@pytest.mark.parametrize("found", MODELS, ids=lambda found: found.name)
def test_a_specimen_is_the_same_each_time_and_leaves_the_random_state_alone(found):
    state = torch.get_rng_state()
    first, second = found.build(), found.build()
    assert torch.equal(torch.get_rng_state(), state)
    assert not first.training
    with torch.no_grad():
        out, again = run(first, found.inputs()), run(second, found.inputs())
    assert torch.equal(out, again)
    assert torch.isfinite(out).all()
    assert out.std() > 0
    assert sum(parameter.numel() for parameter in first.parameters()) == found.params
    assert all(torch.equal(a, b) for a, b in zip(tensors_in(found.inputs()), tensors_in(found.inputs()), strict=True))


def test_a_specimen_is_found_by_name_and_an_unknown_one_is_answered():
    assert specimen("u_net").name == "u_net"
    with pytest.raises(UnknownNameError, match="u_net"):
        specimen("unet")


def test_names_are_unique():
    assert len({found.name for found in MODELS}) == len(MODELS)


def test_the_residual_networks_have_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in resnet18().parameters()) == 11_689_512
        assert sum(parameter.numel() for parameter in resnet50().parameters()) == 25_557_032


# What the zoo must cover, in the words of those who asked for it, and who stands for it.
COVERED = {
    "residual": "residual",
    "depthwise": "inverted_residual",
    "dense concat": "dense_concat",
    "fire": "fire",
    "U-Net with transposed conv": "u_net",
    "squeeze-excitation": "squeeze_excite",
    "shared conv": "shared_conv",
    "grouped convs": "resnext",
    "channel-shuffle convs": "channel_shuffle",
    "pixel shuffle": "pixel_shuffle",
    "flatten": "flatten_head",
    "view that follows": "view_head",
    "view that does not": "stated_view_head",
    "timm-style attention": "vit",
    "nn. attention": "multihead_attention",
    "GPT with split": "gpt_split",
    "GPT with unbind": "gpt",
    "tied embeddings": "gpt",
    "GLU fed by the model's input": "gated_input",
    "LSTM": "lstm",
    "GRU": "gru",
    "raw parameters": "raw_parameter",
    "data-dependent branch": "branch",
    "frozen parameters": "half_frozen",
    "masks": "masked",
    "weight norm": "weight_norm",
    "parametrizations": "parametrized",
    "a model in bf16": "bfloat16_residual",
}


@pytest.mark.parametrize(("wanted", "name"), COVERED.items())
def test_the_zoo_covers_what_it_is_asked_to(wanted, name):
    assert specimen(name).notes, wanted


@pytest.mark.parametrize("zero", [0, 3])
def test_planted_channels_are_zero_and_no_other_is(zero):
    model, seen = planted(zero)(), {}
    for name, channels in (("conv2", 12), ("head", 8)):
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, n=(name, channels): seen.update({n: args[0]})
        )
    with torch.no_grad():
        model(specimen("residual").inputs().args[0])
    for (_, channels), x in seen.items():
        alive = x.transpose(0, 1).flatten(1).abs().amax(1) > 0
        assert alive.tolist() == [True] * (channels - zero) + [False] * zero
    assert all(
        bool((conv.weight.abs().flatten(1).amax(1) > 0).all()) for conv in (model.stem, model.conv1, model.conv2)
    )


def test_masks_norms_and_parametrizations_stand_where_the_zoo_says():
    masked, old = specimen("masked").build(), specimen("old_weight_norm").build()
    assert int((masked.conv2.weight_mask == 0).sum()) == 9 * 8 * 12 // 2
    assert int((masked.fc2.weight_mask[0] == 0).sum()) == 16 // 4
    assert hasattr(old[0], "weight_g")
    assert not hasattr(old[2], "weight_g")
    for name, layer in (("weight_norm", 0), ("parametrized", 2)):
        assert torch.nn.utils.parametrize.is_parametrized(specimen(name).build()[layer], "weight")
    weight = specimen("parametrized").build()[2].weight
    assert torch.equal(weight, weight.T)


def test_a_branch_goes_either_way():
    model, x = specimen("branch").build(), specimen("branch").inputs().args[0]
    taken = []
    for name in ("left", "right"):
        model.get_submodule(name).register_forward_hook(lambda *_, n=name: taken.append(n))
    with torch.no_grad():
        model(x)
        model(-x)
    assert sorted(taken) == ["left", "right"]
