"""Trained states in files."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save

from effwidgets.errors import StoreError
from effwidgets.search.store.tensors import Shelves

STATE = save({"weight": torch.arange(6.0), "bias": torch.zeros(0)}, metadata={"tied": "{}"})


def test_each_rung_has_its_file_and_the_highest_is_what_load_finds(tmp_path):
    shelves = Shelves(tmp_path)
    other = save({"weight": torch.ones(2)})
    shelves.put(4, "briefly tuned", other)
    assert (tmp_path / "4" / "model.safetensors").read_bytes() == other
    shelves.put(4, "fine-tuned", STATE)
    assert (tmp_path / "4" / "briefly-tuned.safetensors").read_bytes() == other
    assert (tmp_path / "4" / "model.safetensors").read_bytes() == STATE == shelves.get(4)
    assert shelves.get(4, "briefly tuned") == other
    assert shelves.get(4, "repaired") is None
    assert shelves.get(5) is None


def test_a_file_system_without_second_names_gets_a_copy(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    Shelves(tmp_path).put(4, "fine-tuned", STATE)
    assert (tmp_path / "4" / "model.safetensors").read_bytes() == STATE


@pytest.mark.parametrize("bad", [b"", STATE[:-1], STATE + b"x", b"\0" * 8, b"\x80\x04pickle", STATE[:20]])
def test_what_is_no_whole_state_is_neither_kept_nor_handed_out(tmp_path, bad):
    shelves = Shelves(tmp_path)
    with pytest.raises(StoreError, match="candidate 4 is not kept"):
        shelves.put(4, "fine-tuned", bad)
    assert not list(tmp_path.iterdir())
    shelves.put(4, "fine-tuned", STATE)
    (tmp_path / "4" / "fine-tuned.safetensors").write_bytes(bad)
    with pytest.raises(StoreError, match="is damaged"):
        shelves.get(4)


def test_a_disk_that_fills_up_leaves_the_earlier_state_and_nothing_half(tmp_path, monkeypatch):
    shelves = Shelves(tmp_path)
    shelves.put(4, "fine-tuned", STATE)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="The disk is full"):
        shelves.put(4, "fine-tuned", save({"weight": torch.ones(2)}))
    assert shelves.get(4) == STATE
    assert sorted(path.name for path in (tmp_path / "4").iterdir()) == ["fine-tuned.safetensors", "model.safetensors"]
