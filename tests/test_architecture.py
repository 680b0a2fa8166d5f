"""The design's arrows hold: who may import whom, what an import costs, how large a file may grow."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import napari_s2sst
from napari_s2sst import engine
from napari_s2sst.engine import config

PACKAGE = Path(napari_s2sst.__file__).parent
ENGINE = PACKAGE / "engine"
WINDOW = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "magicgui", "pyqtgraph", "vispy"}
LEARNING = {"torch", "safetensors"}
SLOW = {"pandas", "anndata", "scipy", "skimage", "shapely", "dask", "zarr", "matplotlib"}
"""A tenth of a second and more each."""
MAX_LINES = 300
EMPTY_NAMES = re.compile(r"(utils?|helpers?|common|misc|managers?|handlers?)")


def table_of_contents() -> list[str]:
    """The engine's modules in reading order, as its docstring lists them."""
    return re.findall(r"^([a-z_]+)  +\S", engine.__doc__, flags=re.MULTILINE)


def engine_files() -> list[Path]:
    return sorted(path for path in ENGINE.glob("*.py") if path.stem != "__init__")


def imports(path: Path) -> set[str]:
    """Absolute dotted names of all that a file imports, at any depth of it."""
    home = ["napari_s2sst", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{name.name}" for name in node.names}
    return found


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("path", engine_files(), ids=lambda path: path.stem)
def test_an_engine_module_imports_no_window(path):
    tops = {name.split(".")[0] for name in imports(path)}
    assert not tops & WINDOW
    assert not {name for name in imports(path) if name.startswith("napari_s2sst.plugin")}


def test_the_whole_engine_runs_without_qt_and_napari_being_imported():
    statement = "\n".join(f"import napari_s2sst.engine.{path.stem}" for path in engine_files())
    assert not modules_after(statement) & WINDOW


def test_every_engine_module_stands_in_the_table_of_contents_and_nothing_else_does():
    assert sorted(table_of_contents()) == [path.stem for path in engine_files()]


@pytest.mark.parametrize("path", engine_files(), ids=lambda path: path.stem)
def test_an_engine_module_imports_only_modules_above_it(path):
    order = table_of_contents()
    own = {name.split(".")[2] for name in imports(path) if name.startswith("napari_s2sst.engine.")}
    below = {name for name in own if name not in order or order.index(name) >= order.index(path.stem)}
    assert not below, f"{path.stem} imports {', '.join(sorted(below))}, which does not stand above it"


def test_only_the_package_itself_and_the_command_line_stand_between_engine_and_window():
    outside = {path.stem for path in PACKAGE.glob("*.py")}
    assert outside == {
        "__init__",
        "__main__",
        "cli",
        "cli_ablations",
        "cli_batch",
        "cli_benchmark",
        "cli_impute",
        "cli_info",
        "cli_inputs",
        "cli_into",
        "terminal",
    }
    deeper = [path for path in PACKAGE.rglob("*.py") if len(path.relative_to(PACKAGE).parts) > 2]
    assert not deeper, "the package is two folders deep, no deeper"


def test_importing_the_package_imports_no_torch_and_no_napari():
    assert not modules_after("import napari_s2sst") & (WINDOW | LEARNING | SLOW)


def test_looking_at_a_slide_imports_nothing_that_only_its_maps_and_pixels_need(sample_slide):
    statement = f"from napari_s2sst.cli.app import main\nmain(['info', {str(sample_slide)!r}])"
    loaded = modules_after(statement) & (WINDOW | LEARNING | SLOW)
    assert not loaded


@pytest.mark.parametrize("module", ["cli", "engine.xenium", "engine.sampling", "engine.region", "plugin.reader"])
def test_opening_a_slide_needs_no_torch(module):
    assert not modules_after(f"import napari_s2sst.{module}") & LEARNING


@pytest.mark.parametrize("name", napari_s2sst.__all__)
def test_every_public_name_resolves(name):
    assert getattr(napari_s2sst, name) is not None


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'imput'"):
        _ = napari_s2sst.imput


def config_parts() -> list[type[BaseModel]]:
    kinds = [value for value in vars(config).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    return [kind for kind in kinds if kind.model_fields]


@pytest.mark.parametrize("part", config_parts(), ids=lambda part: part.__name__)
def test_every_setting_says_what_it_means(part):
    parts = {"grid", "sampling", "network", "training", "imputation", "preset_name"}
    silent = [name for name, field in part.model_fields.items() if not field.description and name not in parts]
    assert not silent


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_source_file_is_short_and_opens_with_what_it_does(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


def test_no_file_has_a_name_that_says_nothing():
    vague = [path for path in PACKAGE.rglob("*") if EMPTY_NAMES.fullmatch(path.stem) or
             {"utils", "helpers", "common", "misc", "manager", "handler"} & set(path.stem.split("_"))]  # fmt: skip
    assert not vague


def test_the_source_names_no_folder_of_one_machine():
    found = [path for path in source_files() if re.search(r"""["'](/work|/home|/root|\.\./shared)""", path.read_text())]
    assert not found


RUNS_WHAT_IT_READS = {
    "pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle", "yaml",
    "eval", "exec", "compile", "__import__", "torch.load", "os.system", "os.popen",
}  # fmt: skip
"""Modules and functions that run, or may run, what stands in a file. Files of ours are numbers and JSON."""


def dangers(tree: ast.AST) -> set[str]:
    """Which of them a source names, and calls that ask for a shell or for pickled objects."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), level=0, names=names):
                found |= {module.partition(".")[0], *(f"{module}.{name.name}" for name in names)}
            case ast.Call(func=function, keywords=keywords):
                found.add(ast.unparse(function))
                told = {each.arg: each.value for each in keywords}
                if ast.unparse(function) in ("np.load", "numpy.load") and "allow_pickle" not in told:
                    found.add("np.load without allow_pickle=False")
                for name in ("allow_pickle", "shell"):
                    if name in told and not (isinstance(told[name], ast.Constant) and told[name].value is False):
                        found.add(f"{name}=True")
    return found & (RUNS_WHAT_IT_READS | {"np.load without allow_pickle=False", "allow_pickle=True", "shell=True"})


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.name)
def test_a_source_file_runs_nothing_that_it_reads(path):
    assert dangers(ast.parse(path.read_text(encoding="utf-8"))) == set()


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from pickle import loads", "eval(text)", "exec(text)", "torch.load(path)", "import yaml",
     "subprocess.run(command, shell=True)", "np.load(path)", "np.load(path, allow_pickle=True)", "from os import system"],
)  # fmt: skip
def test_what_runs_what_it_reads_is_noticed(source):
    assert dangers(ast.parse(source))
