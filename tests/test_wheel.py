"""The wheel installs where there is no node, and brings the extension, the bundle and the magics."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git knows and what make built, in a copy, so that nothing lying about slips in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    for built in ("static", "labextension"):
        shutil.copytree(ROOT / "effwidgets" / built, source / "effwidgets" / built)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True, env=without_node(), capture_output=True)
    return next(out.glob("*.whl"))


def without_node() -> dict[str, str]:
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [
        folder for folder in folders if not (Path(folder) / "node").exists() and not (Path(folder) / "npm").exists()
    ]
    return {**os.environ, "PATH": os.pathsep.join(kept)}


def test_the_wheel_holds_one_extension_one_bundle_and_every_module(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "effwidgets/static/views.js" in names
    assert "effwidgets/static/views.css" in names
    extension = [name for name in names if name.endswith("labextensions/effwidgets/package.json")]
    assert len(extension) == 1, extension
    assert not [name for name in names if name.startswith("effwidgets/labextension/")]
    assert not [name for name in names if name.startswith(("tests/", "js/", "notebooks/"))]
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "effwidgets").rglob("*.py")}
    assert modules <= set(names)
    assert "effwidgets/py.typed" in names


def test_its_version_is_the_one_of_the_front_end(wheel: Path) -> None:
    package = (ROOT / "js" / "package.json").read_text()
    version = re.search(r'"version": "([^"]+)"', package)
    assert version is not None
    assert f"effwidgets-{version[1]}-" in wheel.name


def test_it_installs_without_node_and_works_from_there(wheel: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
        str(wheel),
    ]
    subprocess.run(command, check=True, env=without_node(), capture_output=True)
    code = (
        "import effwidgets, torch\n"
        "from effwidgets.records import VIEWS\n"
        "from effwidgets.widgets.views import bundle\n"
        "profile = effwidgets.profile(torch.nn.Linear(8, 4), torch.zeros(2, 8))\n"
        "print(effwidgets.__file__, profile.cost.macs, len(bundle('views.js')) > 10_000, profile.view()._topic[1])\n"
    )
    environment = {**without_node(), "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    where, macs, bundled, view = run.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert (macs, bundled, view) == ("64", "True", "layers")
    assert (tmp_path / "site" / "share" / "jupyter" / "labextensions" / "effwidgets" / "package.json").exists()
