"""A package that effwidgets does not know joins by entry points and keeps the shipped contracts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("effwidgets_demo_plugin")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Lay the package into a folder with the metadata that an installer writes from its pyproject.toml."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    shutil.copytree(HERE / "effwidgets_demo", tmp_path / "effwidgets_demo")
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    found = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", "-W", "error", *args]  # -P: not the folder of the script, but what is installed
    return subprocess.run(command, env=found, capture_output=True, text=True, check=False)


def test_a_plug_in_passes_the_shipped_contracts_in_a_fresh_process(installed):
    done = run(installed, str(HERE / "promises.py"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("sites kept every promise\n")


def test_what_a_plug_in_brings_is_suggested_searched_and_shown(installed):
    done = run(installed, str(HERE / "reach.py"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "everything is within reach\n"


@pytest.mark.slow
def test_a_plug_in_that_breaks_a_promise_is_caught(installed):
    module = installed / "effwidgets_demo" / "channel_svd.py"
    module.write_text(module.read_text().replace(".sqrt()", ""))  # each factor has all of the scale
    done = run(installed, str(HERE / "promises.py"))
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    assert "nothing removed, outputs" in done.stderr


def test_a_plug_in_that_cannot_be_imported_is_a_warning_and_left_out(installed):
    (installed / "effwidgets_demo" / "channel_svd.py").write_text("import a_package_that_is_not_there\n")
    code = (
        "import warnings\n"
        "from effwidgets.transforms.base import TRANSFORMS\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    names = list(TRANSFORMS)\n"
        "assert 'low_rank' in names and 'channel_svd' not in names, names\n"
        "assert 'channel_svd' in str(seen[0].message), seen\n"
    )
    done = run(installed, "-c", code)
    assert done.returncode == 0, done.stderr
