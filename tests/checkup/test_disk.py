"""How many bytes a model takes as a file: against the files themselves."""

import io
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_model
from torch import nn

from effwidgets.checkup.archive import _Counter, saved_bytes
from effwidgets.checkup.disk import disk
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import DiskBytes
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import MODELS, specimen


class Here(ThreadPoolExecutor):
    """Does the work on this thread, where the default device of the caller holds."""

    def map(self, function, *parts):
        return map(function, *parts)


def size_of(path):
    return Path(path).stat().st_size


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """An empty working folder, which must stay empty but for what a test itself writes there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("one", MODELS, ids=lambda one: one.name)
def test_the_files_of_the_zoo_have_the_sizes_that_were_said_byte_for_byte(one, nowhere):
    model = one.build()
    found = disk(model)
    assert list(nowhere.iterdir()) == []
    torch.save(model.state_dict(), "model.pt")
    save_model(model, "model.safetensors")
    assert found.saved_bytes == size_of("model.pt")
    assert found.safetensors_bytes == size_of("model.safetensors")


@given(st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=90), st.sampled_from(["", ".pt", ".tar.gz"]))
def test_whatever_the_file_is_called_its_size_is_the_one_that_was_said(stem, end):
    state = {"a": torch.ones(3, 5), "b.c": torch.zeros(200), "d": torch.tensor(1)}
    path = f"{stem}{end}"
    torch.save(state, path)
    try:
        assert saved_bytes(state, path) == size_of(path)
    finally:
        Path(path).unlink()


def test_an_open_file_and_a_name_that_is_not_ascii_have_their_sizes():
    state = nn.Linear(7, 9).state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    assert saved_bytes(state, "") == len(file.getvalue())
    torch.save(state, "größe.pt")
    assert saved_bytes(state, "größe.pt") == size_of("größe.pt")


def test_to_count_a_small_piece_no_more_than_that_piece_is_copied():
    counter = _Counter()
    counter.write(bytes(4 << 20))
    piece, copied = bytes(1000), 0
    tracemalloc.start()
    try:
        for _ in range(100):
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            counter.write(piece)
            copied += tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    # The pieces, and some objects around each; the end that is kept was 4 MB at each of them.
    assert copied < 3 * 100 * len(piece)


def test_of_what_is_counted_the_last_sixteen_megabytes_can_be_read():
    counter = _Counter()
    for start in range(24):
        counter.write(bytes([start]) * (1 << 20))
    counter.write(b"end")
    counter.seek(-(16 << 20), io.SEEK_END)
    assert counter.read() == (b"".join(bytes([start]) * (1 << 20) for start in range(8, 24)) + b"end")[3:]
    counter.write(b"!")
    counter.seek(-4, io.SEEK_END)
    assert counter.read(3) + counter.read() == b"end!"
    counter.seek(0)
    with pytest.raises(OSError, match="not kept"):
        counter.read(1)


def test_each_tensor_is_compressed_as_the_entries_of_a_zip_archive_are():
    model = nn.Sequential(nn.Linear(300, 40), nn.BatchNorm1d(40))
    found = disk(model)
    with zipfile.ZipFile("all.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, tensor in model.state_dict().items():
            archive.writestr(name, tensor.numpy().tobytes())
        sizes = {entry.filename: entry.compress_size for entry in archive.infolist()}
    assert [layer.name for layer in found.layers] == ["0", "1"]
    for layer in found.layers:
        assert layer.compressed_bytes == sum(size for name, size in sizes.items() if name.startswith(f"{layer.name}."))
    assert found.compressed_bytes == found.saved_bytes - found.data_bytes + sum(sizes.values())


def test_zeros_compress_to_next_to_nothing_and_noise_hardly_at_all():
    zeros = nn.Linear(1000, 1000, bias=False)
    nn.init.zeros_(zeros.weight)
    # Deflate's longest match is 258 bytes, so 4 MB of zeros take at least 1/1032 of it.
    assert 4_000_000 / 1032 < disk(zeros).layers[0].compressed_bytes < 5_000
    noise = disk(nn.Linear(1000, 1000, bias=False)).layers[0]
    # Uniform float32 in (-0.03, 0.03): 23 bits of noise, and sign and exponent hold a few bits of their 9.
    assert 0.8 < noise.compressed_bytes / noise.data_bytes < 0.96


def test_tied_tensors_count_once_and_views_of_a_storage_as_all_of_it():
    model = specimen("gpt").build()
    tensors = {tensor.data_ptr(): tensor.nbytes for tensor in model.state_dict().values()}
    found = disk(model, compress=False)
    assert found.data_bytes == sum(tensors.values()) == sum(layer.data_bytes for layer in found.layers)
    assert found.data_bytes < sum(tensor.nbytes for tensor in model.state_dict().values())
    part = nn.Module()
    part.register_buffer("slice", torch.zeros(1000)[:10])
    assert disk(part).data_bytes == 4000
    torch.save(part.state_dict(), "part.pt")
    assert disk(part, file="part.pt").saved_bytes == size_of("part.pt")


def test_tensors_that_share_a_part_are_refused_by_safetensors_and_the_record_says_so():
    model, storage = nn.Module(), torch.zeros(30)
    model.register_buffer("one", storage[:20])
    model.register_buffer("two", storage[10:])
    with pytest.raises(RuntimeError):
        save_model(model, "model.safetensors")
    found = disk(model)
    assert found.safetensors_bytes is None
    assert any("one, two" in note for note in found.notes)
    part = nn.Module()
    part.register_buffer("one", storage[:10])
    with pytest.raises(RuntimeError):
        save_model(part, "part.safetensors")
    assert disk(part).safetensors_bytes is None


def test_of_several_names_of_one_tensor_safetensors_keeps_the_one_that_was_said():
    model, whole = nn.Module(), torch.zeros(5, 4)
    for name in ("z", "a", "m"):
        model.register_buffer(name, whole)
    model.register_buffer("rows", whole[1:3])
    save_model(model, "model.safetensors")
    assert disk(model).safetensors_bytes == size_of("model.safetensors")


def test_what_is_not_persistent_is_not_on_the_disk():
    model = nn.Linear(4, 4, bias=False)
    model.register_buffer("scratch", torch.zeros(10_000), persistent=False)
    assert disk(model).data_bytes == 64


def test_a_model_on_meta_tells_what_its_shapes_tell_and_why_no_more():
    real = disk(nn.Linear(30, 20), compress=False)
    found = disk(nn.Linear(30, 20, device="meta"))
    assert (found.saved_bytes, found.compressed_bytes) == (None, None)
    assert (found.data_bytes, found.safetensors_bytes) == (real.data_bytes, real.safetensors_bytes)
    assert any("meta" in note for note in found.notes)


def test_a_state_that_cannot_be_pickled_is_said_and_the_rest_is_there():
    class Odd(nn.Linear):
        def get_extra_state(self):
            return lambda: None

        def set_extra_state(self, state):
            pass

    found = disk(Odd(4, 4))
    assert found.saved_bytes is None
    assert found.safetensors_bytes is None
    assert found.data_bytes == 80
    assert any("torch.save refuses" in note for note in found.notes)


def test_the_model_is_only_read():
    model = specimen("residual").build()
    before = state_of(model)
    disk(model)
    assert before.differences(state_of(model)) == []


def test_the_default_device_of_the_caller_changes_nothing():
    model = nn.Linear(64, 64)
    here = disk(model)
    with pytest.MonkeyPatch.context() as patch:
        # The package hands on a function of the same name as the module.
        patch.setattr(import_module("effwidgets.checkup.disk"), "ThreadPoolExecutor", Here)
        with torch.device("meta"):
            assert disk(model) == here


def test_what_is_not_drawn_is_refused_with_the_types_that_are():
    found = disk(nn.Linear(2, 2))
    with pytest.raises(UnknownNameError, match=r"There is no figure of 'DiskBytes'\. .*'Profile'"):
        found.to_plotly()
    with pytest.raises(UnknownNameError, match=r"There is no live view of 'DiskBytes'\. .*'Profile'"):
        found.view()


def test_the_record_survives_json_and_says_in_one_line_what_it_found():
    found = disk(nn.Linear(64, 64))
    assert DiskBytes.from_json(found.to_json()) == found
    assert repr(found).startswith("DiskBytes(Linear: ")
    assert "deflate, level 6" in repr(found)


@pytest.mark.parametrize("bad", [3, ".pt", "folder/"])
def test_a_name_that_torch_refuses_is_refused(bad):
    with pytest.raises(InputError, match="expected"):
        disk(nn.Linear(2, 2), file=bad)
    with pytest.raises(InputError, match=r"torch\.nn\.Module was expected"):
        disk(torch.zeros(3))


def test_a_model_without_a_state_is_the_empty_file_and_without_compression_it_is_not_measured():
    empty = disk(nn.ReLU())
    torch.save(nn.ReLU().state_dict(), "model.pt")
    assert empty.saved_bytes == empty.compressed_bytes == size_of("model.pt")
    assert empty.layers == ()
    quick = disk(nn.Linear(2, 2), compress=False)
    assert quick.compressed_bytes is quick.layers[0].compressed_bytes is None
