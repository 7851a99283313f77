"""Sets of channels along one dimension: joined, cut, concatenated, taken apart."""

from effwidgets.profiling.coupling.channels import Channels, bind, factors, fix, length, refine, settle
from effwidgets.profiling.coupling.joins import cut, join, meet


def axis(*parts):
    return tuple((Channels(count), *inner) for count, *inner in parts)


def form(found):
    return None if found is None else [tuple(getattr(f, "count", f) for f in part) for part in settle(found)]


def obstacles(found):
    return [channels.obstacle for channels in factors(found)]


def test_a_concatenation_holds_both_and_a_cut_gives_them_back():
    first, second = axis((4,)), axis((6, 2))
    whole = join([first, second], [4, 12])
    assert form(whole) == [(4,), (6, 2)]
    assert cut(whole, 0, 4) == first
    assert cut(whole, 4, 16) == second
    assert obstacles(whole) == [None, None]


def test_a_cut_through_channels_makes_two_sets_of_one():
    whole = axis((6, 2))
    assert form(cut(whole, 0, 4, ("net",))) == [(2, 2)]
    assert form(whole) == [(2, 2), (4, 2)]
    assert obstacles(whole) == [None, None]
    assert all(list(channels.soft) == ["net"] for channels in factors(whole))


def test_a_cut_through_the_entries_of_one_channel_bars_it():
    whole = axis((6, 2))
    assert cut(whole, 0, 3) is None
    assert "slice" in obstacles(whole)[0]


def test_what_no_layer_makes_keeps_its_place_in_a_concatenation():
    held = axis((4,))
    assert form(join([None, held], [3, 4])) == [(3,), (4,)]
    assert join([None, None], [3, 4]) is None
    assert obstacles(held) == [None]


def test_a_sum_makes_one_set_of_two_and_keeps_the_obstacle():
    first, second = axis((4,)), axis((4,))
    second[0][0].bar("because")
    meet(first, second)
    assert first[0][0].root is second[0][0].root
    assert obstacles(first) == ["because"]


def test_a_sum_of_parts_with_a_whole_cuts_the_whole_where_the_parts_are():
    parts, whole = axis((2,), (3,)), axis((5,))
    meet(parts, whole)
    assert factors(whole) == factors(parts)
    assert obstacles(parts) == [None, None]


def test_a_sum_with_entries_that_no_layer_makes_bars_for_good():
    held = axis((4,))
    meet(held, ((4,),))
    assert "no layer's channels make" in obstacles(held)[0]
    assert factors(held)[0].fixed


def test_queries_that_share_keys_go_in_the_units_of_the_keys():
    queries, keys = axis((8,)), axis((2, 4))
    meet(queries, keys)
    assert form(queries) == [(2, 4)]
    shared, each = factors(queries)
    assert shared is factors(keys)[0]
    assert shared.obstacle is None
    assert each.obstacle is not None


def test_what_is_said_of_a_set_is_said_of_its_parts():
    whole = Channels(6)
    refine(whole, ((Channels(2, digit=True), Channels(3, digit=True)),))
    whole.bar("because")
    assert obstacles(((whole,),)) == ["because", "because"]
    late = Channels(6, "earlier")
    refine(late, ((Channels(2),), (Channels(4),)))
    assert obstacles(((late,),)) == ["earlier", "earlier"]


def test_a_width_that_must_stay_leaves_the_heads_alone():
    heads, width = Channels(4, digit=True), Channels(16, digit=True)
    whole = Channels(64)
    refine(whole, ((heads, width),))
    fix((((width,),),), "its width")
    assert (heads.obstacle, width.obstacle) == (None, "its width")
    assert length((3, whole)) == 192


def test_groups_of_convolutions_bind_runs_and_common_multiples_of_them():
    held = axis((12,))
    bind(held, 2, "a")
    bind(held, 3, "b")
    assert factors(held)[0].blocks == 6
    assert obstacles(held) == [None]


def test_groups_over_a_concatenation_bar_both_parts():
    held = axis((4,), (4,))
    bind(held, 2, "'conv'")
    assert all("channels of several layers in 2 groups" in reason for reason in obstacles(held))


def test_groups_of_a_product_bind_the_factor_that_they_fall_on():
    outer, inner = Channels(2, digit=True), Channels(6, digit=True)
    bind(((outer, inner),), 4, "'conv'")
    assert "as whole groups" in outer.obstacle
    assert (inner.blocks, inner.obstacle) == (2, None)
    many, few = Channels(8, digit=True), Channels(3, digit=True)
    bind(((many, few),), 4, "'conv'")
    assert (many.blocks, few.blocks) == (4, 1)


def test_a_set_that_is_bound_bars_its_parts_when_it_is_cut():
    whole = axis((8,))
    bind(whole, 2, "'conv'")
    cut(whole, 0, 3)
    assert all("in 2 groups" in reason for reason in obstacles(whole))
