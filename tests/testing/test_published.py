"""Costs that others published, and the twelve named models: counted on the shadow, nothing allocated."""

import pytest
import torch

from effwidgets.errors import UnknownNameError
from effwidgets.profiling import Call, ProfileOptions, profile
from effwidgets.profiling.calls import map_tensors
from effwidgets.testing.classic import alexnet_bvlc
from effwidgets.testing.published import MOBILENETS, TORCHVISION, Published
from effwidgets.testing.squeezenet import squeezenet1_0
from effwidgets.testing.twelve import TWELVE, named
from effwidgets.testing.vision_transformer import vit_s_16

# What is not asserted here is not computed: it would double the time of some ninety models.
COUNTS = ProfileOptions(groups=False, backward=False)
# One of each family stays in the quick suite.
QUICK = {
    "alexnet",
    "convnext_tiny",
    "efficientnet_b0",
    "regnet_y_400mf",
    "resnext50_32x4d",
    "squeezenet1_1",
    "vgg11",
    "vit_b_32",
    "mobilenet_v1 0.25 128",
    "mobilenet_v2 1.4 224",
}


def each(table):
    marked = [pytest.param(f, id=f.name, marks=() if f.name in QUICK else pytest.mark.slow) for f in table]
    return pytest.mark.parametrize("found", marked)


def counted(found: Published, batch: int = 1):
    with torch.device("meta"):
        model = found.build()
        x = torch.empty(batch, 3, found.side, found.side)
    return profile(model, x, options=COUNTS)


@each(TORCHVISION)
def test_parameters_and_multiply_adds_are_those_that_torchvision_publishes(found):
    result = counted(found)
    assert result.cost.params == found.params
    # Within the rounding of the table: to three decimals of a billion.
    assert found.prints(result.cost.macs), f"{result.cost.macs:,} MACs, published as {found.macs} x 10^9"
    assert result.uncounted == ()


@each(MOBILENETS)
def test_mobile_networks_of_every_width_and_side_have_the_published_multiply_adds(found):
    macs = counted(found).cost.macs
    assert found.prints(macs), f"{macs:,} MACs, published as {found.macs} x 10^6"


@pytest.mark.parametrize("name", ["resnext50_32x4d", "vit_b_32"])
def test_three_pictures_are_three_times_the_work_of_one_and_the_same_parameters(name):
    found = next(found for found in TORCHVISION if found.name == name)
    one, three = counted(found), counted(found, batch=3)
    assert three.cost.macs == 3 * one.cost.macs
    assert three.cost.params == one.cost.params


def test_a_count_that_takes_norms_in_is_a_little_above_ours():
    # timm's table (results/benchmark-infer-fp32-nchw-pt240-cpu at aa4b5850) has 22.05 M and 4.61 GMACs for
    # vit_small_patch16_224, counted by fvcore, which takes norms in: 25 norms of 197 x 384 at 4 or 5 an entry are
    # 0.2% of it. The other 0.005 is the table's rounding.
    with torch.device("meta"):
        cost = profile(vit_s_16(), torch.empty(1, 3, 224, 224), options=COUNTS).cost
    assert round(cost.params / 1e6, 2) == 22.05
    assert 4.61 * 0.997 - 0.005 < cost.macs / 1e9 < 4.61 + 0.005


def test_squeezenet_has_fifty_times_fewer_parameters_than_the_alexnet_in_two_groups():
    # Iandola et al. 2016, arXiv:1602.07360, table 2: "50x"; MACs layer by layer from bvlc_alexnet's deploy.prototxt.
    convs = 55**2 * 96 * 3 * 121 + 27**2 * 256 * 48 * 25 + 13**2 * 9 * (384 * 256 + 384 * 192 + 256 * 192)
    with torch.device("meta"):
        large = profile(alexnet_bvlc(), torch.empty(1, 3, 227, 227), options=COUNTS)
        small = profile(squeezenet1_0(), torch.empty(1, 3, 224, 224), options=COUNTS)
    assert (large.cost.params, small.cost.params) == (60_965_224, 1_248_424)
    assert round(large.cost.params / small.cost.params, 2) == 48.83
    assert large.cost.macs == convs + 9216 * 4096 + 4096 * 4096 + 4096 * 1000 == 724_406_816
    assert large.uncounted == ()


def test_a_figure_is_printed_as_it_was_rounded_or_cut():
    rounds = Published(name="a", build=torch.nn.Identity, params=0, macs=1.81, unit=10**9, decimals=2)
    assert [rounds.prints(macs) for macs in (1_804_999_999, 1_805_000_000, 1_814_999_999, 1_815_000_000)] == [
        False,
        True,
        True,
        False,
    ]
    cuts = Published(name="a", build=torch.nn.Identity, params=0, macs=300, unit=10**6, decimals=0, cut=True)
    assert [cuts.prints(macs) for macs in (299_999_999, 300_000_000, 300_999_999, 301_000_000)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "found", [f for f in TORCHVISION if f.name in {one.name for one in TWELVE}], ids=lambda f: f.name
)
def test_the_arithmetic_of_a_named_model_is_what_torchvision_publishes(found):
    # Two sources for one number: neither runs the profiler.
    ours = named(found.name)
    assert ours.params == found.params
    assert found.prints(ours.macs)


@pytest.mark.slow
@pytest.mark.parametrize("found", TWELVE, ids=lambda found: found.name)
def test_a_named_model_costs_what_was_worked_out_by_hand(found):
    result = profile(found.build(), found.inputs())
    assert result.cost.params == found.params
    assert result.cost.macs == found.macs
    assert result.uncounted == ()
    assert sum(layer.self_cost.macs for layer in result.layers) == found.macs


@pytest.mark.slow
@pytest.mark.parametrize("found", TWELVE, ids=lambda found: found.name)
def test_a_named_model_on_meta_costs_the_same(found):
    with torch.device("meta"):
        model = found.build()
    call = map_tensors(found.inputs(), lambda tensor: tensor.to("meta"))
    result = profile(model, call, options=COUNTS)
    assert (result.cost.params, result.cost.macs) == (found.params, found.macs)
    assert result.uncounted == ()


def test_there_are_twelve_and_an_unknown_one_is_answered_with_their_names():
    assert len({found.name for found in TWELVE}) == 12
    assert isinstance(named("unet").inputs(), Call)
    with pytest.raises(UnknownNameError, match="squeezenet1_0"):
        named("squeezenet")
