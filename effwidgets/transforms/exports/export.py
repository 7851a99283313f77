"""Hand a model on to other runtimes: as a program of `torch.export`, or as ONNX; read back and compared first.

Both are for inference: the model is taken in evaluation mode, and a block that `checkpoint` wrapped stands plain.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from effwidgets.errors import EffError, InputError, TransformError, UnknownNameError
from effwidgets.profiling.calls import Call, Inputs, as_call, map_tensors, tensors_in
from effwidgets.profiling.shadow import check_module
from effwidgets.transforms.applied import Applied
from effwidgets.transforms.apply import private_copy
from effwidgets.transforms.exports import onnx_file, torch_file
from effwidgets.transforms.exports.quiet import quiet
from effwidgets.transforms.surgery import replace_layer
from effwidgets.transforms.verify import reference_of

__all__ = ["Written", "export"]

Format: TypeAlias = Literal["torch", "onnx"]

_WRITERS: Final[dict[str, ModuleType]] = {"torch": torch_file, "onnx": onnx_file}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written, and how it was looked at.

    Attributes:
        path: the file.
        format: "torch" or "onnx".
        dynamic: whether it takes batches of other sizes too; False where they are those of the inputs for ever.
        apart: how far what it answers is from what the model answers: norm of the difference over the norm, the worst
            output; None where nothing here can run it.
        checked_by: what ran it: "torch.export", "onnxruntime", "onnx.reference"; "" for nothing.
        notes: what a reader must know beside that, in sentences.
    """

    path: Path
    format: Format
    dynamic: bool
    apart: float | None
    checked_by: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = "any batch" if self.dynamic else "this batch alone"
        checked = f"{self.apart:.1e} apart by {self.checked_by}" if self.apart is not None else "not checked"
        return f"Written({str(self.path)!r}, {self.format}, {size}, {checked})"


def export(
    model: nn.Module | Applied,
    inputs: Inputs,
    path: str | Path,
    *,
    format: Format = "torch",  # noqa: A002  the word that everybody expects here
    dynamic: bool = True,
) -> Written:
    """Write ``model`` as a program that runs without its Python code, read it back, and compare the answers.

    ``"torch"`` is what `torch.export.load` reads (``.pt2``). ``"onnx"`` needs the extra: ``pip install
    effwidgets[onnx]``. The caller's model is not changed.

    Args:
        model: a module, or what `apply` returned.
        inputs: what it is called with; the first dimension of the first tensor is the batch.
        path: the file to write; an earlier one there is replaced when the new one is whole.
        format: "torch" or "onnx".
        dynamic: let batches of other sizes in. Where the model cannot have that, the file is for batches of this size
            and `Written.notes` says why.

    Raises:
        InputError: not a module, inputs of an unknown kind, a folder as path, an extra that is not installed.
        UnknownNameError: another format.
        TransformError: the model cannot be exported, or what was written answers otherwise; nothing was left at
            ``path``.

    >>> import tempfile
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = export(model, torch.ones(2, 4), Path(folder) / "model.pt2")
    ...     loaded = torch.export.load(written.path).module()
    ...     written.dynamic, tuple(loaded(torch.ones(5, 4)).shape)
    (True, (5, 2))
    """
    module, target = _checked(model, path)
    if format not in _WRITERS:
        raise UnknownNameError("format", format, _WRITERS)
    writer, call = _WRITERS[format], as_call(inputs)
    writer.check_installed()
    work = _plain(module)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        file = aside / target.name
        # torch reads and writes files of this ending alone.
        written = _written(work, call, file.with_name(f"{file.name}{writer.ENDING}"), format, dynamic=dynamic)
        written.path.rename(file)
        for part in sorted(aside.iterdir()):  # the file itself, and the weights beside it where they are large
            part.replace(target.parent / part.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return replace(written, path=target)


def _checked(model: object, path: str | Path) -> tuple[nn.Module, Path]:
    module = model.model if isinstance(model, Applied) else model
    check_module(module)
    assert isinstance(module, nn.Module)  # noqa: S101  check_module said so
    if not isinstance(path, str | Path) or str(path) in ("", ".") or Path(path).is_dir():
        raise InputError(f"The path is {str(path)!r}; the name of a file was expected, such as 'small.pt2'.")
    return module, Path(path)


def _plain(model: nn.Module) -> nn.Module:
    # In evaluation mode; what is run again in a backward has none here.
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import ActivationWrapper  # slow to import

    work = private_copy(model).eval()
    for parameter in work.parameters():
        parameter.requires_grad = False
    if isinstance(work, ActivationWrapper):
        work = work._checkpoint_wrapped_module  # noqa: SLF001  it has no public name
    while True:
        found = next(((n, m) for n, m in work.named_modules() if isinstance(m, ActivationWrapper)), None)
        if found is None:
            return work
        replace_layer(work, found[0], found[1]._checkpoint_wrapped_module)  # noqa: SLF001


def _written(work: nn.Module, call: Call, path: Path, format: Format, *, dynamic: bool) -> Written:  # noqa: A002
    note = ""
    if dynamic:
        try:
            return _once(work, call, path, format, dynamic=True)
        except Exception as error:  # noqa: BLE001  other people's tracers and the model's own forward
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            note = f"It takes batches of this size alone: with others it could not be written ({reason})."
            for file in path.parent.iterdir():
                file.unlink()
    try:
        found = _once(work, call, path, format, dynamic=False)
    except EffError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise TransformError(
            f"{type(work).__name__} cannot be exported as {format} ({type(error).__name__}: {reason}). A forward that "
            "branches on values, or calls what the format does not know, is the usual cause; take that part out, or "
            "save a recipe with save(applied, path)."
        ) from error
    return replace(found, notes=(note, *found.notes) if note else found.notes)


def _once(work: nn.Module, call: Call, path: Path, format: Format, *, dynamic: bool) -> Written:  # noqa: A002
    writer = _WRITERS[format]
    own = map_tensors(call, lambda tensor: tensor.detach().clone())
    with torch.inference_mode(mode=False), torch.no_grad(), quiet():
        # A tracer takes a batch of one for a constant.
        writer.write(work, _twice(own) if dynamic else own, path, dynamic=dynamic)
        ran_by, ask = writer.reader(path)
        if ask is None:
            note = f"What was written was not run: {ran_by}."
            return Written(path=path, format=format, dynamic=dynamic, apart=None, checked_by="", notes=(note,))
        calls = (own, _twice(own), _twice(_twice(own))) if dynamic else (own,)
        apart = max(_apart(work, each, ask) for each in calls)
    return Written(path=path, format=format, dynamic=dynamic, apart=apart, checked_by=ran_by)


def _twice(call: Call) -> Call:
    """Return the call with two copies of its batch, one behind the other."""
    size = next((int(tensor.shape[0]) for tensor in tensors_in(call) if tensor.dim()), None)

    def double(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor]) if tensor.dim() and tensor.shape[0] == size else tensor

    found: Call = map_tensors(call, double)
    return found


def _apart(work: nn.Module, call: Call, ask: Callable[[Call], list[Tensor]]) -> float:
    expected, near = reference_of(work, call)
    came = ask(map_tensors(call, lambda tensor: tensor.clone()))
    if [tuple(tensor.shape) for tensor in came] != [tuple(tensor.shape) for tensor in expected]:
        raise TransformError("what was written answers in other shapes than the model")
    worst = 0.0
    for new, old in zip(came, expected, strict=True):
        size = float(old.double().nan_to_num().norm())
        off = float((new.double().nan_to_num() - old.double().nan_to_num()).norm())
        worst = max(worst, off / size if size else off)
    if worst > near:
        raise TransformError(f"what was written answers {worst:.2g} (relative) apart from the model; it was not kept")
    return worst
