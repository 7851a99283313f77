"""How many bytes a model takes as a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from effwidgets.records.base import Record
from effwidgets.records.doors import Shown
from effwidgets.units import bytes_text

__all__ = ["DiskBytes", "LayerBytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBytes(Record):
    """What one module adds to the file by the tensors that it holds itself.

    Attributes:
        name: dotted path of the module; "" is the model itself.
        data_bytes: bytes of its tensors, each storage at the first module that holds it.
        compressed_bytes: the same, compressed; None when that was not measured.
    """

    name: str
    data_bytes: int
    compressed_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DiskBytes(Shown, Record):
    """A model's state as a file. None where a number is not known; a note then says why.

    Attributes:
        model: class name of the model.
        file: name of the file, which `torch.save` writes into it several times; "" for an open file.
        data_bytes: bytes of the tensors of the state alone, each storage once; the sum over ``layers``.
        saved_bytes: size of the file that ``torch.save(model.state_dict(), file)`` writes.
        safetensors_bytes: size of the file that ``safetensors.torch.save_model(model, ...)`` writes.
        compressed_bytes: size of the first file with each of its tensors compressed alone, by ``codec``.
        codec: how it was compressed ("deflate, level 6").
        layers: the modules that hold tensors of the state, in its order.
        notes: what a reader must know beside the numbers, in sentences.
    """

    model: str
    file: str
    data_bytes: int
    saved_bytes: int | None
    safetensors_bytes: int | None
    compressed_bytes: int | None
    codec: str
    layers: tuple[LayerBytes, ...]
    notes: tuple[str, ...] = ()
    origin: str = field(default="", compare=False, metadata={"saved": False})

    def __repr__(self) -> str:
        known = (
            (self.saved_bytes, "saved"),
            (self.safetensors_bytes, "as safetensors"),
            (self.compressed_bytes, f"compressed ({self.codec})"),
        )
        parts = [f"{bytes_text(value)} {what}" for value, what in known if value is not None]
        return f"DiskBytes({self.model}: {', '.join(parts) or 'not known'})"
