"""The wheel installs where there is no node, and brings the extension, the bundle and the magics."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
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


FRESH = """
import sys
here, others = sys.argv[1:]
sys.path[:0] = [here, others]
from importlib import metadata
from pathlib import Path
import effwidgets, torch
from IPython.core.interactiveshell import InteractiveShell
from effwidgets.widgets.views import bundle

def ours(path):
    return Path(path).is_relative_to(here)

groups = ("effwidgets.transforms", "effwidgets.metrics", "effwidgets.views")
ends = [point for group in groups for point in metadata.entry_points(group=group)]
assert {point.group for point in ends} == set(groups)
assert all(ours(point.dist.locate_file("")) for point in ends), ends
assert all(ours(sys.modules[point.load().__class__.__module__].__file__) for point in ends)
assert [ours(one.locate_file("")) for one in metadata.distributions() if one.name == "effwidgets"] == [True]
shell = InteractiveShell.instance()
shell.user_ns.update(model=torch.nn.Linear(8, 4), x=torch.zeros(2, 8))
shell.run_line_magic("load_ext", "effwidgets")
profile = shell.run_line_magic("effdl", "profile model x")
assert all(ours(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "effwidgets")
print(effwidgets.__version__, profile.cost.macs, len(bundle("views.js")) > 10_000, profile.view()._topic[1])
"""


@pytest.fixture
def site(wheel: Path, tmp_path: Path) -> Path:
    """The wheel, installed into a folder of its own by pip, with no node at hand."""
    options = ["-q", "--no-deps", "--target", str(tmp_path / "site")]
    command = [sys.executable, "-m", "pip", "install", *options, str(wheel)]
    subprocess.run(command, check=True, env=without_node(), capture_output=True)
    return tmp_path / "site"


def other_packages(folder: Path) -> Path:
    """Links to all that is installed here but effwidgets itself, whose checkout stands on this Python's path."""
    folder.mkdir()
    for kind in ("purelib", "platlib"):
        for path in Path(sysconfig.get_path(kind)).iterdir():
            if "effwidgets" not in path.name and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    return folder


def test_it_installs_without_node_and_works_from_there(site: Path, tmp_path: Path) -> None:
    # -I and -S: no PYTHONPATH, no working folder and no .pth file, so nothing leads back to the checkout.
    command = [sys.executable, "-I", "-S", "-c", FRESH, str(site), str(other_packages(tmp_path / "others"))]
    environment = {**without_node(), "IPYTHONDIR": str(tmp_path / "ipython")}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    version, *rest = run.stdout.split()[-4:]
    assert f"effwidgets-{version}.dist-info" in {path.name for path in site.iterdir()}
    assert rest == ["64", "True", "layers"]
    assert (site / "share" / "jupyter" / "labextensions" / "effwidgets" / "package.json").exists()
