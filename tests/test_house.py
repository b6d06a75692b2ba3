"""The house in order: who may import whom, and who may touch what."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "distbp"
LEVELS = {
    "errors": 0, "bounds": 0, "alignment": 0, "columns": 0, "rows": 0, "durable": 0, "precision": 0,
    "maps": 0, "comm": 0,
    "program": 1, "data": 1,
    "engines": 2, "reduction": 2, "workloads": 2,
    "training": 3, "bench": 3, "explain": 3, "check": 3, "record": 3, "display": 3, "lines": 3,
    "metrics_file": 3, "events": 3,
}  # fmt: skip
ROOF = 4
APART = {  # rooms that never see each other, whatever their level
    **{room: {"comm"} for room in ("maps", "program", "engines", "data", "workloads")},
    "comm": {"maps", "program", "engines", "workloads"},
    "reduction": {"maps", "program", "engines", "workloads"},
}
ALONE = {  # modules that only these files may import
    "mpi4py": {"comm/mpi.py"},
    "torch.distributed": {"comm/torch_dist.py"},
    "hydra": {"config.py", "cli.py"},
    "omegaconf": {"config.py", "cli.py"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def room_of(path):
    return Path(name_of(path)).parts[0].removesuffix(".py")


@cache
def nodes_of(path):
    """The file as a module, and every node of it: three laws read them."""
    tree = ast.parse(path.read_text())
    return tree, [*ast.walk(tree)]


def imports(path):
    """Every module that the file imports, wherever in it."""
    for node in nodes_of(path)[1]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_room_imports_one_above_it(path):
    room = room_of(path)
    for module in imports(path):
        package, _, rest = module.partition(".")
        if package != "distbp" or not rest:
            continue
        other = rest.split(".")[0]
        assert LEVELS.get(other, ROOF) <= LEVELS.get(room, ROOF), f"{room} imports {other}"
        assert other not in APART.get(room, set()), f"{room} never imports {other}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_only_one_file_may_touch(path):
    for module in imports(path):
        for guarded, allowed in ALONE.items():
            if module == guarded or module.startswith(guarded + "."):
                assert name_of(path) in allowed, f"{name_of(path)} imports {module}"
    if name_of(path) != "comm/world.py":
        attributes = {node.attr for node in nodes_of(path)[1] if isinstance(node, ast.Attribute)}
        assert not attributes & {"environ", "getenv", "putenv"}, "only comm/world.py reads the environment"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_small_and_say_what_they_are(path):
    assert len(path.read_text().splitlines()) <= 260
    assert ast.get_docstring(nodes_of(path)[0])


def test_importing_has_no_side_effect():
    """No MPI, no process group, no configuration store: importing every module leaves them as they were."""
    names = [f"distbp.{name_of(path)[:-3].replace('/', '.')}".removesuffix(".__init__") for path in FILES]
    code = f"""
import importlib, os, sys
before = dict(os.environ)
for name in {[name for name in names if not name.endswith("__main__")]!r}:
    importlib.import_module(name)
assert "mpi4py.MPI" not in sys.modules
assert not importlib.import_module("torch.distributed").is_initialized()
assert dict(os.environ) == before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_public_names_are_there():
    import distbp

    assert all(callable(getattr(distbp, name)) for name in distbp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = distbp.nonsense
