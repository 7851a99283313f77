"""ONNX, by torch's exporter; run again by onnxruntime, or by the reference that comes with onnx."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError
from effwidgets.profiling.calls import Call, tensors_in
from effwidgets.transforms.exports.torch_file import program_of

__all__ = ["ENDING", "check_installed", "reader", "write"]

ENDING: Final = ".onnx"

_NEEDED: Final = ("onnx", "onnxscript")
_APART_BYTES: Final = 1_800_000_000  # a file of protocol buffers ends at 2 GiB


def check_installed() -> None:
    """Raise an `InputError` that names the extra where it is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'effwidgets[onnx]'. format='torch' needs nothing more."
        )


def write(model: nn.Module, call: Call, path: Path, *, dynamic: bool) -> None:
    """Write the graph to ``path``; weights beyond 1.8 GB lie in a file beside it."""
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    program = program_of(model, call, dynamic=dynamic)
    torch.onnx.export(program, (), str(path), dynamo=True, external_data=held > _APART_BYTES, verbose=False)


def reader(path: Path) -> tuple[str, Callable[[Call], list[Tensor]] | None]:
    """Return what runs the file, and a function that asks it; None and the reason where nothing here does."""
    if any("bfloat16" in kind for kind in _kinds(path)):
        return "its inputs or outputs are bfloat16, which numpy does not have", None
    try:
        run, names, name = _session(path)
    except Exception as error:  # noqa: BLE001  other people's runtimes do not know all operations
        reason = str(error).strip().partition("\n")[0][:200]
        return f"what is installed here does not run it ({reason})", None

    def ask(call: Call) -> list[Tensor]:
        given = [tensor.detach().cpu() for tensor in tensors_in(call)]
        if len(given) != len(names):
            message = f"the graph takes {len(names)} tensors, the model {len(given)}: one has no part in the answer"
            raise InputError(message)
        feed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
        return [torch.from_numpy(array.copy()) for array in run(None, feed)]

    return name, ask


def _session(path: Path) -> tuple[Callable[..., Any], list[str], str]:
    if importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return session.run, [given.name for given in session.get_inputs()], "onnxruntime"
    import onnx.reference

    evaluator = onnx.reference.ReferenceEvaluator(str(path))
    return evaluator.run, list(evaluator.input_names), "onnx.reference"


def _kinds(path: Path) -> list[str]:
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    kinds = (value.type.tensor_type.elem_type for value in (*graph.input, *graph.output))
    return [onnx.TensorProto.DataType.Name(kind).lower() for kind in kinds]
