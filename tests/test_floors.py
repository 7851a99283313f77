"""Imports go down only: the plan of the house, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "effwidgets"
FLOORS = {
    "errors": 0,  # everything may raise
    "units": 1,
    "line": 1,
    "registry": 2,
    "records": 3,
    "reference": 4,
    "profiling": 4,
    "views": 4,
    "reconcile": 4.5,  # over the profiler, beside what changes a model
    "whatif": 4.5,
    "checkup": 4.5,
    "transforms": 5,
    "metrics": 5,
    "widgets": 5,
    "search": 6,
    "testing": 6.5,  # the contract suites may use everything below the session
    "session": 7,
    "course": 8,
    "seen": 8,
    "magics": 9,
    "panel": 9,
    "": 10,  # the face
}
ENGINE = {"profiling", "reconcile", "whatif", "checkup", "transforms", "metrics", "search"}
SCREEN = {"views", "widgets"}
JUPYTER = {"IPython", "ipywidgets", "anywidget", "traitlets", "comm", "ipykernel", "jupyterlab"}
KNOWS_JUPYTER = {
    "widgets",  # live views are anywidgets
    "magics",  # %effdl
    "panel",  # opens a model where the extension asks
    "",  # the face: names IPython's shell in the type of load_ipython_extension
    "records/doors.py",  # a record shows itself: two outputs, which only IPython.display can make, inside one function
}
KNOWS_PLOTLY = {"views", "widgets"}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py") if parts != ("__init__.py",) else ""


def imports(tree: ast.AST, name: str) -> Iterator[str]:
    """All that a module imports, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            assert node.module is not None
            yield node.module
            if node.module == "effwidgets":
                yield from (f"effwidgets.{alias.name}" for alias in node.names)


SOURCES = sorted(PACKAGE.rglob("*.py"))
IMPORTS = {path: sorted(set(imports(ast.parse(path.read_text("utf-8")), str(path)))) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(path)
    assert room in FLOORS, f"{room} stands on no floor: draw it in tests/test_floors.py and CONTRIBUTING.md"
    for name in IMPORTS[path]:
        if not name.startswith("effwidgets"):
            continue
        target = name.split(".")[1] if "." in name else ""
        if target == room:
            continue
        assert target in FLOORS, f"{path.name} imports {name}, which stands on no floor"
        assert FLOORS[target] < FLOORS[room], f"{room} (floor {FLOORS[room]}) imports {name} (floor {FLOORS[target]})"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_engine_knows_no_screen_and_the_screen_no_torch(path: Path) -> None:
    roots = {name.split(".")[0] for name in IMPORTS[path]}
    if room_of(path) in ENGINE:
        assert not roots & (JUPYTER | {"plotly"})
    if room_of(path) in SCREEN:
        assert "torch" not in roots


def rooms(names: list[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("effwidgets.")}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_engine_and_the_screen_never_meet_below_the_session(path: Path) -> None:
    if room_of(path) in ENGINE:
        assert not rooms(IMPORTS[path]) & SCREEN
    if room_of(path) in SCREEN:
        assert not rooms(IMPORTS[path]) & ENGINE


def test_only_the_rooms_named_here_know_jupyter_and_each_of_them_does() -> None:
    knowing = {path for path, names in IMPORTS.items() if {name.split(".")[0] for name in names} & JUPYTER}
    places = {place for path in knowing for place in (room_of(path), str(path.relative_to(PACKAGE)))}
    assert knowing
    assert all(room_of(path) in KNOWS_JUPYTER or str(path.relative_to(PACKAGE)) in KNOWS_JUPYTER for path in knowing)
    assert places >= KNOWS_JUPYTER, "a room that no longer knows Jupyter leaves the list"


def test_only_the_screen_knows_plotly() -> None:
    knowing = {room_of(path) for path, names in IMPORTS.items() if "plotly" in {name.split(".")[0] for name in names}}
    assert knowing <= KNOWS_PLOTLY


def test_modules_import_each_other_in_no_circle() -> None:
    def module_of(path: Path) -> str:
        return ".".join(("effwidgets", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")

    graph = {
        module_of(path): {name for name in names if name.startswith("effwidgets.")} for path, names in IMPORTS.items()
    }
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join((*trail, module))}"
        if module in done or module not in graph:
            return
        for target in graph[module] - {module}:
            walk(target, (*trail, module))
        done.add(module)

    for module in graph:
        walk(module, ())
