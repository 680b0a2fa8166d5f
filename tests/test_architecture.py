"""The rules of the house hold, and each of them is seen to fail where it is broken once."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from support import architecture as house

import napari_s2sst
from napari_s2sst.engine import config

PACKAGE = Path(napari_s2sst.__file__).parent
REPOSITORY = Path(__file__).parents[1]
LEARNING = {"torch", "safetensors"}
SLOW = {"pandas", "anndata", "scipy", "skimage", "shapely", "dask", "zarr", "matplotlib"}
"""A tenth of a second and more each."""

Rule = Callable[[Path], Iterator[str]]

BREAKS: dict[Rule, tuple[str, str]] = {
    house.unlisted: ("engine/sampling/forgotten.py", '"""A module that no list names."""\n'),
    house.imported_from_below: ("engine/maps.py", "from .sampling import lattice\n"),
    house.engine_with_a_window: ("engine/maps.py", "import qtpy\n"),
    house.circles: ("engine/errors.py", "from .files import local_path\n"),
    house.too_deep: ("engine/sampling/deeper/module.py", '"""Too deep."""\n'),
    house.too_many: ("", ""),
    house.too_long: ("engine/maps.py", "\n" * house.MAX_LINES),
    house.vague_names: ("engine/sampling/lattice_helpers.py", '"""What is in here?"""\n'),
    house.probed_slides: ("engine/runs/write.py", "images = getattr(job.slide, 'images', ())\n"),
    house.opened_elsewhere: ("cli/info.py", "slide = open_count_cube(path)\n"),
    house.suffixes_looked_at_elsewhere: ("cli/info.py", "is_table = path.suffix == '.h5ad'\n"),
    house.built_elsewhere: ("engine/cluster/batch.py", "result = Result(job)\n"),
    house.others_private_names: ("plugin/window.py", "worker._gen.close()\n"),
    house.positional_dataclasses: (
        "engine/maps.py",
        "@dataclass(frozen=True)\nclass Many:\n    a: int\n    b: int\n    c: int\n    d: int\n    e: int\n",
    ),
    house.many_parameters: ("engine/maps.py", "def many(a, b, c, d, e, f, *, g, h, i): ...\n"),
    house.lost_references: ("engine/maps.py", 'def lost():\n    """See :func:`~.training.train`, :func:`.gone`."""\n'),
    house.fragments: ("engine/maps.py", 'def fragment():\n    """Of the map."""\n'),
}
"""Rule -> a file and what is written at its end, or a new file, to break it."""


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_a_rule_of_the_house_holds(rule):
    assert not list(rule(PACKAGE)), rule.__doc__


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_a_rule_that_is_broken_is_noticed(rule, tmp_path):
    copy = tmp_path / house.NAME
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    before = set(rule(copy))
    place, text = BREAKS[rule]
    for path in [copy / place] if place else [copy / f"engine/sampling/module{number}.py" for number in range(15)]:
        path.parent.mkdir(exist_ok=True)
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")
    assert set(rule(copy)) - before


def test_every_rule_is_tried():
    rules = {value for value in vars(house).values() if callable(value) and is_rule(value)}
    assert rules == set(BREAKS)


def is_rule(value: Callable) -> bool:
    return getattr(value, "__annotations__", {}) == {"package": Path, "return": Iterator[str]}


def test_tests_lie_beside_the_tree_that_they_test():
    """Only ``window``, tests of the whole dock, has a folder of its own."""
    folders = {path.parent.relative_to(REPOSITORY / "tests") for path in (REPOSITORY / "tests").rglob("test_*.py")}
    inside = {folder for folder in folders if folder.parts[:1] in (("engine",), ("plugin",), ("cli",))}
    assert inside
    assert not {folder for folder in inside if not (PACKAGE / folder).is_dir()} - {Path("plugin/window")}


def test_contributing_shows_every_folder_and_file_in_reading_order():
    """The tree there is what the packages say of themselves, and nothing else."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- tree")[2].partition("<!-- end of tree")[0].splitlines()
    shown = [" ".join(line.split()) for line in shown[2:] if line.strip()]
    says = [f"{name.strip()} {what}" for part in house.PARTS for name, what in house.lines_of_the_tree(PACKAGE / part)]
    heads = [line for line in shown if line.partition("/ ")[0] in (*house.PARTS, f"src/{house.NAME}/")]
    assert [line for line in shown if line not in heads] == says, "run make tree"


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_whole_engine_runs_without_qt_and_napari_being_imported():
    names = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in house.every_file(PACKAGE / "engine")]
    statement = "\n".join(f"import napari_s2sst.{name.removesuffix('.__init__')}" for name in names)
    assert not modules_after(statement) & house.WINDOW


def test_importing_the_package_imports_no_torch_and_no_napari():
    assert not modules_after("import napari_s2sst") & (house.WINDOW | LEARNING | SLOW)


def test_looking_at_a_slide_imports_nothing_that_only_its_maps_and_pixels_need(sample_slide):
    statement = f"from napari_s2sst.cli.app import main\nmain(['info', {str(sample_slide)!r}])"
    loaded = modules_after(statement) & (house.WINDOW | LEARNING | SLOW)
    assert not loaded


@pytest.mark.parametrize(
    "module",
    ["cli", "engine.slides.opening", "engine.sampling.lattice", "engine.sampling.regions", "plugin.viewer.reader"],
)
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
