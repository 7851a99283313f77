"""Which tensors of a batch are inputs."""

from __future__ import annotations

from collections import UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.transforms.matching import match, matches

IMAGE = torch.rand(8, 3, 4, 4)
TABLE = torch.rand(8, 5)
LABELS = torch.arange(8)
WORDS = torch.arange(48).reshape(8, 6)
MASK = torch.ones(8, 6, dtype=torch.long)

ONE = Call((torch.zeros(2, 3, 4, 4),))
TWO = Call((torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)))
NAMED = Call((), {"input_ids": WORDS[:1], "attention_mask": MASK[:1], "use_cache": False})

Pair = namedtuple("Pair", ["image", "label"])  # noqa: PYI024  a batch as people have it


@dataclass
class Sample:
    label: torch.Tensor
    image: torch.Tensor


FORMS = {
    "a tensor": (IMAGE, ONE, [IMAGE]),
    "inputs and labels": ((IMAGE, LABELS), ONE, [IMAGE]),
    "labels first": ([LABELS, IMAGE], ONE, [IMAGE]),
    "inputs and a target of their shape": ((IMAGE, IMAGE * 2), ONE, [IMAGE]),
    "a named tuple": (Pair(IMAGE, LABELS), ONE, [IMAGE]),
    "a dataclass": (Sample(label=LABELS, image=IMAGE), ONE, [IMAGE]),
    "a dictionary for a positional input": ({"label": LABELS, "image": IMAGE}, ONE, [IMAGE]),
    "two inputs and labels": ((IMAGE, TABLE, LABELS), TWO, [IMAGE, TABLE]),
    "two inputs in a tuple of their own": (((IMAGE, TABLE), LABELS), TWO, [IMAGE, TABLE]),
    "inputs between other things": ((LABELS, IMAGE, "name", TABLE), TWO, [IMAGE, TABLE]),
    "names, and labels that the model does not take": (
        {"labels": WORDS * 2, "attention_mask": MASK, "input_ids": WORDS},
        NAMED,
        [WORDS, MASK],
    ),
    "a tokenizer's batch and labels": ((UserDict({"input_ids": WORDS, "attention_mask": MASK}), LABELS), NAMED, None),
    "a call": (Call((), {"attention_mask": MASK, "input_ids": WORDS}), NAMED, [WORDS, MASK]),
    "other sizes than the batch's": ((torch.rand(8, 3, 9, 9), LABELS), ONE, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_the_model_takes_is_found(form):
    batch, like, wanted = FORMS[form]
    found = match(batch, like)
    assert len(found.args) == len(like.args)
    assert set(found.kwargs) == set(like.kwargs)
    if wanted is not None:
        for tensor, right in zip(tensors_in(found), wanted, strict=True):
            assert torch.equal(tensor, right)
    assert [tensor.shape[0] for tensor in tensors_in(found)] == [8] * len(list(tensors_in(like)))
    assert matches(batch, like)


def test_what_is_no_tensor_stays_as_in_the_call():
    assert match({"input_ids": WORDS, "attention_mask": MASK}, NAMED).kwargs["use_cache"] is False


def test_floating_point_is_brought_to_the_precision_of_the_model_and_whole_numbers_stay():
    like = Call((torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.long)))
    found = match((IMAGE.double(), LABELS.int()), like)
    assert [tensor.dtype for tensor in found.args] == [torch.bfloat16, torch.int32]


REFUSED = {
    "a name is lacking": (
        {"input_ids": WORDS, "labels": MASK},
        NAMED,
        r"a dict of input_ids: int64 8 × 6, labels: int64 8 × 6; the model takes .* It lacks 'attention_mask'\.",
    ),
    "single samples": (
        (IMAGE[0], 3),
        ONE,
        r"a tuple of float32 3 × 4 × 4, int; the model takes float32 2 × 3 × 4 × 4\. These look like single samples",
    ),
    "whole numbers for pictures": ((IMAGE * 255).byte(), ONE, "The shapes fit and the kinds of numbers do not"),
    "too few": (IMAGE, TWO, r"a tensor, float32 8 × 3 × 4 × 4; the model takes .*how=lambda batch: batch\[0\]"),
    "something else": ("text", ONE, "A calibration batch is of type str"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_does_not_fit_is_said(form):
    batch, like, message = REFUSED[form]
    with pytest.raises(InputError, match=message):
        match(batch, like)
    assert not matches(batch, like)


def test_inputs_in_another_order_are_told_by_their_sizes():
    like = Call((torch.zeros(2, 5), torch.zeros(2, 7)))
    found = match((torch.zeros(8, 7), torch.ones(8, 5), LABELS), like)
    assert [tuple(tensor.shape) for tensor in tensors_in(found)] == [(8, 5), (8, 7)]


@pytest.mark.parametrize("aside", ["attention_mask", "labels"])
def test_masks_and_labels_are_not_taken_for_words_that_come_after_them(aside):
    found = match({aside: MASK, "input_ids": WORDS}, Call((WORDS[:1],)))
    assert torch.equal(found.args[0], WORDS)
