"""Programs that run without the model's Python code: read back, compared, and nothing left behind when they fail."""

import importlib.util
import subprocess
import sys

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError, TransformError, UnknownNameError
from effwidgets.profiling import Call
from effwidgets.records import Plan, Step, settings
from effwidgets.testing.untouched import state_of
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.exports import torch_file
from effwidgets.transforms.exports.export import export

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*")


@pytest.mark.slow
def test_a_program_runs_in_a_process_of_its_own_for_any_batch(tmp_path):
    found = specimen("residual")
    model, call = found.build(), found.inputs()
    before = state_of(model.train())
    written = export(model, call, tmp_path / "here" / "model.pt2")
    assert before.differences(state_of(model)) == []
    assert (written.dynamic, written.format, written.checked_by, written.notes) == (True, "torch", "torch.export", ())
    assert written.apart < 1e-6
    code = (
        "import sys, torch; "
        f"out = torch.export.load({str(written.path)!r}).module()(torch.ones(7, 3, 16, 16)); "
        "assert 'effwidgets' not in sys.modules; print(tuple(out.shape), out.double().sum().item())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shape, total = out.stdout.rsplit(" ", 1)
    assert shape == "(7, 10)"
    with torch.no_grad():
        expected = model.eval()(torch.ones(7, 3, 16, 16)).double().sum().item()
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert [file.name for file in written.path.parent.iterdir()] == ["model.pt2"]


def test_what_apply_returns_is_exported_with_its_edits_and_checkpoints_stand_plain(tmp_path):
    found = specimen("residual")
    plan = Plan(
        steps=(
            Step(transform="fold_bn", layers=("stem.0", "stem.1")),
            Step(transform="spatial_svd", layers=("block2.conv2",), settings=settings(rank=8)),
            Step(transform="checkpoint", layers=("block1",)),
        )
    )
    applied = apply(found.build(), plan, found.inputs())
    assert len(applied.edits) == 3
    written = export(applied, found.inputs(), tmp_path / "model.pt2")
    loaded = torch.export.load(written.path).module()
    with torch.no_grad():
        x = found.inputs().args[0]
        assert torch.allclose(loaded(x), applied.model.eval()(x), rtol=0, atol=1e-6)


def test_a_batch_of_one_and_keyword_arguments_are_taken_too(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x, *, mask, scale=1.0):
            return {"out": self.fc(x) * mask, "twice": self.fc(x) * scale}

    written = export(Named(), Call((torch.ones(1, 4),), {"mask": torch.ones(1, 2), "scale": 2.0}), tmp_path / "m.pt2")
    assert written.dynamic
    answer = torch.export.load(written.path).module()(torch.ones(5, 4), mask=torch.ones(5, 2), scale=2.0)
    assert {name: tuple(value.shape) for name, value in answer.items()} == {"out": (5, 2), "twice": (5, 2)}


def test_a_model_that_takes_one_batch_alone_says_so(tmp_path):
    found = specimen("vit")  # asks Python for the length of its batch
    written = export(found.build(), found.inputs(), tmp_path / "vit.pt2")
    assert not written.dynamic
    assert "this size alone" in written.notes[0]
    assert written.apart == 0
    assert export(specimen("perceptron").build(), torch.ones(3, 12), tmp_path / "p.pt2", dynamic=False).notes == ()


@pytest.mark.parametrize("name", ["masked", "old_weight_norm", "parametrized", "bfloat16_residual", "shared_conv"])
def test_wrapped_layers_are_exported(name, tmp_path):
    written = export(specimen(name).build(), specimen(name).inputs(), tmp_path / "model.pt2")
    assert written.dynamic
    assert written.apart < 1e-6


def test_a_model_that_cannot_be_exported_says_why_and_leaves_what_stood_there(tmp_path, capfd):
    found = specimen("branch")
    target = tmp_path / "model.pt2"
    target.write_text("before")
    with pytest.raises(TransformError, match=r"Branching cannot be exported as torch .*branches on values"):
        export(found.build(), found.inputs(), target)
    assert target.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt2"]
    assert capfd.readouterr() == ("", "")


def test_a_program_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    def wrong(model, call, path, *, dynamic):
        other = nn.Sequential(model, nn.Linear(5, 5))
        torch.export.save(torch_file.program_of(other.eval(), call, dynamic=dynamic), path)

    monkeypatch.setattr(torch_file, "write", wrong)
    with pytest.raises(TransformError, match="apart from the model"):
        export(specimen("perceptron").build(), specimen("perceptron").inputs(), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_no_path_or_no_format_is_answered(tmp_path):
    model, x = nn.Linear(2, 2), torch.ones(1, 2)
    with pytest.raises(InputError, match=r"torch\.nn\.Module was expected"):
        export("model", x, tmp_path / "model.pt2")
    with pytest.raises(InputError, match="the name of a file"):
        export(model, x, tmp_path)
    with pytest.raises(UnknownNameError, match="onnx"):
        export(model, x, tmp_path / "model", format="tflite")


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else real(name, *more))
    with pytest.raises(InputError, match=r"onnx, which is not installed: pip install 'effwidgets\[onnx\]'"):
        export(nn.Linear(2, 2), torch.ones(1, 2), tmp_path / "model.onnx", format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual", "u_net", "gpt", "lstm", "masked"])
def test_onnx_answers_as_the_model_for_any_batch(name, tmp_path):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    found = specimen(name)
    model, call = found.build(), found.inputs()
    written = export(model, call, tmp_path / "model.onnx", format="onnx")
    assert (written.dynamic, written.checked_by) == (True, "onnxruntime")
    onnx.checker.check_model(str(written.path))
    session = onnxruntime.InferenceSession(str(written.path), providers=["CPUExecutionProvider"])
    x = torch.cat([call.args[0]] * 3)
    (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(answer), model(x), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_onnx_is_run_by_its_reference_where_there_is_no_runtime_and_bfloat16_is_not_run(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "onnxruntime" else real(name, *more)
    )
    found = specimen("perceptron")
    written = export(found.build(), found.inputs(), tmp_path / "model.onnx", format="onnx")
    assert (written.checked_by, written.dynamic) == ("onnx.reference", True)
    assert written.apart < 1e-6
    half = export(specimen("bfloat16").build(), specimen("bfloat16").inputs(), tmp_path / "half.onnx", format="onnx")
    assert (half.apart, half.checked_by) == (None, "")
    assert "bfloat16" in half.notes[0]
