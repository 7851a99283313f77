from __future__ import annotations

import dataclasses

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import UNEXPLAINED, Environment, Explained, PeerCount, PeerLayer, Reconciliation
from effwidgets.views import reconciliation as view
from effwidgets.views.reconciliation_words import brief, four, item_text, peer_text, short, signed

STRANGER = "<script>alert(1)</script>"


def item(reason="included_norm", op="batch_norm", macs=-256, times=1):
    return Explained(reason=reason, op=op, times=times, macs=macs, words="They count normalisation.")


def layer(name, ours, theirs, *items, **more):
    more = {"own_ours": 0, "own_theirs": 0, "kind": "Conv2d", "printed_as": name} | more
    return PeerLayer(layer=name, ours=ours, theirs=theirs, items=items, **more)


def test_one_line_says_how_many_reasons_there_are_in_whole_words(found):
    said = repr(found)
    assert "fvcore 1.82 G, for 2 reasons" in said
    assert "flop_counter 1.81 G, the same" in said
    whole = dataclasses.replace(found.peers[0].layers[0], items=found.peers[0].layers[0].items[:1])
    one = dataclasses.replace(found.peers[0], layers=(whole,))
    assert repr(dataclasses.replace(found, peers=(one,))).count("for 1 reason") == 1
    assert "reasons" not in repr(dataclasses.replace(found, peers=(one,)))


@pytest.fixture
def found() -> Reconciliation:
    fvcore = PeerCount(
        peer="fvcore",
        title="fvcore 0.1.5",
        setting="eval mode, forward without gradients, on cpu",
        flops=1_819_065_856,
        layers=(
            layer("", 1_814_073_344, 1_819_065_856, item(macs=-4_967_424, times=20), item(op="pool", macs=-25_088)),
            layer("conv", 1_814_073_344, 1_814_073_344),
            layer(STRANGER, 0, 4_992_512, item(macs=-4_992_512)),
        ),
    )
    counter = PeerCount(
        peer="flop_counter",
        title="FlopCounterMode of torch 2.13.0",
        setting="eval mode",
        flops=3_628_146_688,
        flops_per_mac=2,
        layers=tuple(
            layer(one.layer, one.ours, one.ours, printed_as=f"Net.{one.layer}" if one.layer else "Global")
            for one in fvcore.layers
        ),
    )
    failed = PeerCount(peer="flop_counter_meta", title="On meta", setting="", flops_per_mac=2, failure="It asks.")
    return Reconciliation(
        model="Net",
        inputs=((1, 3, 224, 224),),
        environment=Environment(torch="2.13.0", device="cpu", threads=1),
        train=False,
        backward=False,
        ours=1_814_073_344,
        peers=(fvcore, counter, failed),
        notes=("A note.",),
    )


def test_numbers_are_written_with_four_digits_as_papers_print_them():
    assert four(1_819_065_856, "FLOPs") == "1.819 GFLOPs"
    assert [four(value) for value in (0, 999, 1000, 12_345, 999_949, 999_950, 123_456_789)] == [
        "0", "999", "1.000 k", "12.35 k", "999.9 k", "1.000 M", "123.5 M",
    ]  # fmt: skip
    assert (signed(-5), signed(5), signed(0), signed(-1234, exact=True)) == ("−5", "+5", "0", "−1,234")


def test_the_paragraph_names_both_units_the_exact_difference_and_each_reason(found):
    said = peer_text(found.peer("fvcore"))
    assert said == (
        "fvcore 0.1.5 says 1.819 GFLOPs (1,819,065,856); 1 FLOP is 1 MAC there. Ours minus theirs is −4,992,512 MACs: "
        "batch_norm ×20 −4.97 M (normalisation is included there), pool −25.1 k (normalisation is included there)."
    )
    same = peer_text(found.peer("flop_counter"))
    assert "2 FLOPs are 1 MAC there, so 1.814 GMACs. That is ours, to the integer." in same
    assert peer_text(found.peer("flop_counter_meta")) == "On meta cannot count this model: It asks."


def test_what_is_not_explained_is_never_hidden(found):
    odd = item(UNEXPLAINED, "", 1200)
    root = dataclasses.replace(found.peers[0].layers[0], items=(odd,), own_items=(odd,))
    peer = dataclasses.replace(found.peers[0], layers=(root, *found.peers[0].layers[1:]))
    broken = dataclasses.replace(found, peers=(peer,))
    assert "1.200 kMACs of it are not explained" in peer_text(peer)
    assert "not explained" in repr(broken)
    assert "are not explained" in view.HTML.draw(broken)
    assert "Every difference is explained" not in view.HTML.draw(broken)
    assert "Every difference is explained" in view.HTML.draw(found)


def test_every_reason_of_the_engine_has_few_words_of_its_own():
    from effwidgets.reconcile.reasons import _WORDS
    from effwidgets.views.reconciliation_words import _SHORT

    assert set(_SHORT) == set(_WORDS)
    assert short(item("a_new_one")) == "a new one"


def test_an_item_says_how_often_only_where_the_operation_is_theirs():
    assert item_text(item(times=3)).startswith("batch_norm ×3 −256")
    assert item_text(item("fused_layer", "_native_multi_head_attention", 9, 6)).startswith(
        "_native_multi_head_attention +9 (the layer's fast path"
    )
    assert item_text(item("no_backward", "", 9)).startswith("the backward +9")
    assert brief(item("hooks", "mm")) == "their hooks lose whose backward it is"


def test_the_text_lists_the_layers_that_differ_and_counts_the_others(found):
    text = view.TEXT.draw(found)
    lines = text.splitlines()
    assert lines[0].startswith("Net · input 1 × 3 × 224 × 224")
    assert any(line.startswith(STRANGER) and "−4.99 M" in line for line in lines)
    assert "1 layer below the model: the same in both counts." in text
    assert not any(line.startswith("conv") for line in lines)
    assert lines[-1] == "A note."


def test_the_page_holds_every_layer_beside_each_other_with_the_reasons_behind_a_fold(found, markup):
    page = markup(view.HTML.draw(found))
    assert "script" not in page.tags
    assert page.tags.count("table") == 1
    assert page.tags.count("tr") == 1 + 3
    assert page.tags.count("details") == 2
    assert "batch_norm ×20 −4,967,424 (normalisation is included there)" in page.text
    assert "cannot count this model" in page.text


def test_long_tables_keep_what_differs_and_say_what_they_left_out(found):
    layers = [found.peers[0].layers[0]]
    layers += [layer(f"b{index}", 9, 9) for index in range(100)]
    layers += [layer(f"d{index}", 9, 8, item(macs=1)) for index in range(250)]
    long = dataclasses.replace(found, peers=(dataclasses.replace(found.peers[0], layers=tuple(layers)),))
    page = view.HTML.draw(long)
    assert page.count("<tr>") == 1 + 200
    assert "and 51 more layers that differ" in page
    assert "100 layers in which all agree are left out" in page
    text = view.TEXT.draw(long)
    assert "and 210 more layers that differ" in text
    assert "100 layers below the model: the same" in text


def test_the_figure_has_one_bar_for_each_reason_of_each_counter(found):
    figure = view.FIGURE.draw(found)
    fvcore, counter = figure.data
    assert list(fvcore.x) == [-4_967_424, -25_088]
    assert list(counter.x) == []
    assert "1.819 GFLOPs" in fvcore.name
    assert "1.814 GMACs" in figure.layout.title.text


def test_an_operation_with_two_reasons_has_two_bars(found):
    root = dataclasses.replace(found.peers[0].layers[0], items=(item(), item("einsum_order", macs=7)))
    peer = dataclasses.replace(found.peers[0], layers=(root,))
    bars = view.FIGURE.draw(dataclasses.replace(found, peers=(peer,))).data[0]
    assert len(set(bars.y)) == 2


def test_a_model_that_no_counter_could_count_is_still_drawn(found):
    alone = dataclasses.replace(found, peers=found.peers[2:])
    assert "cannot count this model" in view.TEXT.draw(alone)
    assert "<table>" not in view.HTML.draw(alone)
    assert len(view.FIGURE.draw(alone).data) == 0
    assert alone.to_pandas().empty
    assert "It asks" in alone.to_markdown()


def test_it_leaves_the_notebook_as_a_table_with_a_row_for_each_counter_and_layer(found):
    table = found.to_pandas()
    assert list(table["counter"]) == ["fvcore"] * 3 + ["flop_counter"] * 3
    assert list(table["difference_macs"]) == [-4_992_512, 0, -4_992_512, 0, 0, 0]
    assert table["reasons"][0] == "included_norm batch_norm -4967424; included_norm pool -25088"
    assert table.attrs["failures"] == {"flop_counter_meta": "It asks."}
    assert found.to_csv().splitlines()[1].startswith("fvcore,,Conv2d,,1814073344,1819065856,-4992512")


def test_markdown_is_exact_and_quotes_the_sentences(found):
    text = found.to_markdown()
    assert "| **Total** " in text
    assert "1,819,065,856" in text
    assert "&lt;script&gt;" in text
    assert "Ours minus theirs is −4,992,512 MACs" in text
    assert "conv" not in found.to_markdown(depth=0).splitlines()[2]
    assert "fvcore, MACs" not in found.to_markdown(columns=["difference"])
    with pytest.raises(UnknownNameError, match="difference"):
        found.to_markdown(columns=["differ"])
    with pytest.raises(InputError):
        found.to_markdown(depth=-1)
