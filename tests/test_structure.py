"""The architecture, kept by reading the source: who imports whom, no work at import, no pickle, a
docstring everywhere.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "neocog"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS: dict[str, int] = {
    **dict.fromkeys(
        [
            "_version",
            "assignments",
            "axes",
            "cores",
            "downloads",
            "errors",
            "events",
            "files",
            "hearing",
            "openmp",
            "outputs",
            "pictures",
            "sealed",
            "show",
            "signals",
            "world",
        ],
        0,
    ),
    **dict.fromkeys(["arithmetic", "mirror"], 1),
    **dict.fromkeys(["data", "zoo"], 2),
    **dict.fromkeys(["inside", "optim", "pretrained"], 3),
    **dict.fromkeys(["recipes", "tasks"], 4),
    **dict.fromkeys(["answers", "model", "report", "runs", "style", "training", "transfer"], 5),
    **dict.fromkeys(["verbs"], 6),
    **dict.fromkeys(["figures", "server", "studies"], 7),
    **dict.fromkeys(["__init__", "__main__", "cli"], 8),
}


def home(module: str) -> str:
    """The part of the package that a dotted module name belongs to: neocog.data.sources.idx -> data."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> set[str]:
    """Every module of the package that `path` imports, in functions too, but not for types only."""
    found = set()
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "neocog":
            names = (
                [f"{node.module}.{a.name}" for a in node.names] if node.module == "neocog" else [node.module]
            )
            found.update(names)
        elif isinstance(node, ast.Import):
            found.update(a.name for a in node.names if a.name.startswith("neocog"))
    return found


def _without_type_checking(tree: ast.Module) -> ast.Module:
    tree.body = [
        n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    ]
    return tree


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_layers(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in LAYERS, f"{own} has no layer: give it one here and in docs/architecture.md"
    for module in imports(path):
        other = home(module)
        assert other in LAYERS, module
        assert LAYERS[other] <= LAYERS[own], f"{path.name} (layer {LAYERS[own]}) imports {module}"
        assert {own, other} != {"data", "zoo"}, (
            f"{path.name} imports {module}: data and zoo know nothing of each other"
        )
        if own == "verbs" and other == "verbs":
            assert module.endswith(path.stem), f"{path.name} imports {module}: verbs never import each other"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_manners(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a file begins by saying what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            banned = {"eval", "exec", "pickle.load", "pickle.loads", "torch.load", "os.system"}
            quarantined = name == "torch.load" and path.name == "tensor_file.py"
            assert name not in banned or quarantined, f"{name} at line {node.lineno}"
            if quarantined:
                assert "weights_only=True" in ast.unparse(node), "only tensors and plain containers"
            assert not name.endswith(("extractall", ".cuda")), f"{name} at line {node.lineno}"
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            names = {ast.unparse(d) for d in node.decorator_list}
            methods = isinstance(node, ast.FunctionDef) and (len(node.body) <= 6 or names)
            assert ast.get_docstring(node) or methods or node.name in ("forward", "modules"), (
                f"{node.name} has no docstring"
            )
    if path.name not in ("decode.py", "grids.py"):
        assert "Image.open" not in path.read_text(), "there is one decoder"
    assert "inplace=True" not in path.read_text()


def test_importing_neocog_and_asking_for_help_load_no_torch() -> None:
    script = (
        "import sys, neocog, neocog.cli\n"
        "assert neocog.cli.run(['--help']) == 0 and neocog.cli.run(['train', '--help']) == 0\n"
        "assert neocog.cli.run(['--version']) == 0\n"
        "heavy = {'torch', 'rich', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names() -> None:
    import neocog

    assert list(neocog.__all__) == sorted(neocog.__all__)
    for name in neocog.__all__:
        assert getattr(neocog, name) is not None
    with pytest.raises(AttributeError):
        _ = neocog.nothing  # type: ignore[attr-defined]


# --- circles, sizes, names, doubles ----------------------------------------------------------------


def named(path: Path) -> str:
    """neocog/data/__init__.py -> neocog.data, neocog/model.py -> neocog.model."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {named(path): path for path in FILES}

KNOWN_CIRCLES: frozenset[frozenset[str]] = frozenset()
"""Circles that are there and shall go. Whoever breaks one takes it out here; none is ever added."""


def imported(path: Path) -> set[str]:
    """The modules that `path` names in its imports, in functions too, but not for types only. A name that a
    package hands on counts as the package; that a submodule runs its package first does not count."""
    found = set()
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} line {node.lineno}: imports are absolute"
            base = node.module or ""
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def circles(edges: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """The sets of nodes from each of which every other of its set is reached (more than one, or itself)."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for other in edges[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        reached[start] = seen
    return {
        frozenset(other for other in reached[node] if node in reached[other])
        for node in edges
        if node in reached[node]
    }


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "d"}, "e": {"f"}, "f": set[str]()}
    assert circles(edges) == {frozenset("abc"), frozenset("d")}


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = circles({name: imported(path) for name, path in MODULES.items()})
    assert found - KNOWN_CIRCLES == set(), "a new circle: put what both need into a module below them"
    assert KNOWN_CIRCLES - found == set(), "a circle is gone: take it out of KNOWN_CIRCLES"


MOST_MODULES = 22
"""Modules of one folder that a reader still takes in."""


def test_no_folder_is_crowded() -> None:
    counts = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert {str(folder): n for folder, n in counts.items() if n > MOST_MODULES} == {}


def exported(path: Path) -> set[str]:
    """The names in a package's `__all__`."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_no_module_is_named_like_what_its_package_exports() -> None:
    """Importing such a module puts it in the place of the function."""
    exports = {f"{named(p)}.{name}" for p in FILES if p.name == "__init__.py" for name in exported(p)}
    assert exports & MODULES.keys() == set(), "a module that hides what its package hands on: rename it"


def body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """What a function does: its statements without the docstring."""
    statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return "\n".join(ast.dump(statement) for statement in statements)


def test_no_two_public_functions_do_the_same() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if PACKAGE / "mirror" in path.parents:
            continue  # an independent second writing, which may share nothing with what it checks
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            if body(node):  # doing nothing, with whatever is given, is not doing the same
                places[body(node)].append(f"{named(path)}.{node.name}")
    assert [same for same in places.values() if len(same) > 1] == []
