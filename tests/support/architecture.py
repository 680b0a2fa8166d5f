"""The rules of the house, each a function: the package's folder -> sentences, one for each place that breaks the rule.

They read the code's own imports and definitions, wherever in a file they stand, those for type checkers among them.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

NAME = "napari_s2sst"
PARTS = ("engine", "plugin", "cli")
MAX_MODULES = 14
MAX_LINES = 400
MAX_PARAMETERS = 8
MAX_POSITIONAL_FIELDS = 4
WINDOW = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "magicgui", "pyqtgraph", "vispy"}
QT = WINDOW - {"napari", "vispy"}
EMPTY_NAMES = re.compile(r"(utils?|helpers?|common|misc|managers?|handlers?)")
PRIVATE_ELSEWHERE = re.compile(r"_relay_\w+|_gen|_is_creating|_canvas_size|_qt_\w+|_dock_widgets")
"""Names of napari and superqt that begin with an underscore and that the program can't do without."""


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def tree_of(path: Path) -> ast.Module:
    return _parsed(path.read_text(encoding="utf-8"))


def modules(folder: Path) -> list[Path]:
    """The modules of one folder, without its ``__init__``."""
    return sorted(path for path in folder.glob("*.py") if path.stem != "__init__")


def packages(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/__init__.py"))


def listed(folder: Path) -> list[str]:
    """The names that a package's docstring lists, in its order: ``module`` or ``package/``."""
    return re.findall(r"^([a-z_0-9]+/?)  +\S", ast.get_docstring(tree_of(folder / "__init__.py")) or "", re.MULTILINE)


def there(folder: Path) -> list[str]:
    """What a package's docstring has to list."""
    return [path.stem for path in modules(folder)] + [f"{path.name}/" for path in packages(folder)]


def reading_order(folder: Path) -> list[str]:
    """All modules below a package in reading order, dotted from there: ``maps``, ``sampling.lattice`` ..."""
    order: list[str] = []
    for name in listed(folder):
        if name.endswith("/"):
            inner = folder / name[:-1]
            order += [name[:-1], *(f"{name[:-1]}.{module}" for module in reading_order(inner))]
        else:
            order.append(name)
    return order


def imports(path: Path, package: Path) -> set[str]:
    """Absolute dotted names of all that a file imports; of the own package down to the module where one is meant."""
    home = [NAME, *path.relative_to(package).parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for name in node.names:
                place = package.parent / Path(*source.split("."), name.name)
                is_module = place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
                names.add(f"{source}.{name.name}" if is_module or not source.startswith(NAME) else source)
    return names


def own_imports(path: Path, package: Path, part: str) -> set[str]:
    """The modules of ``part`` (``engine``) that a file imports, dotted from there."""
    start = f"{NAME}.{part}."
    return {name.removeprefix(start) for name in imports(path, package) if name.startswith(start)}


def short(path: Path, package: Path) -> str:
    return path.relative_to(package).as_posix()


def every_file(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


# ---- the rules


def unlisted(package: Path) -> Iterator[str]:
    """A package's docstring lists its modules and packages, all of them and no others."""
    for part in PARTS:
        for init in sorted((package / part).rglob("__init__.py")):
            names, exist = listed(init.parent), there(init.parent)
            for name in sorted(set(names) ^ set(exist)):
                yield f"{short(init.parent, package)}: {name} is {'listed and not there' if name in names else 'not listed'}"
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield f"{short(init.parent, package)}: {name} is listed twice"


def imported_from_below(package: Path) -> Iterator[str]:
    """A module imports only from what stands above it in the reading order, in the engine and in the window."""
    for part in PARTS:
        order = {name: place for place, name in enumerate(reading_order(package / part))}
        for path in every_file(package / part):
            dotted = ".".join(path.relative_to(package / part).with_suffix("").parts)
            if path.stem == "__init__" and part == "cli":  # which gives `main`
                continue
            if path.stem == "__init__":
                yield from (
                    f"{short(path, package)} imports {name}" for name in sorted(own_imports(path, package, part))
                )
                continue
            for name in sorted(own_imports(path, package, part)):
                if order.get(name, len(order)) >= order.get(dotted, -1):
                    yield f"{part}: {dotted} imports {name}, which does not stand above it"


def engine_with_a_window(package: Path) -> Iterator[str]:
    """The engine imports neither Qt nor napari nor the window, and the session no Qt."""
    for path in every_file(package / "engine"):
        for name in sorted(imports(path, package)):
            if name.split(".")[0] in WINDOW or name.startswith((f"{NAME}.plugin", f"{NAME}.cli")):
                yield f"{short(path, package)} imports {name}"
    for path in package.glob("plugin/session*.py"):
        for name in sorted(imports(path, package)):
            if name.split(".")[0] in WINDOW:
                yield f"{short(path, package)} imports {name}"


def circles(package: Path) -> Iterator[str]:
    """No module imports itself by way of others."""
    names = {".".join((NAME, *path.relative_to(package).with_suffix("").parts)): path for path in every_file(package)}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    arrows = {name: imports(path, package) & names.keys() - {name} for name, path in names.items()}
    while True:  # those that import nothing any more, or are imported by nobody any more, are in no circle
        needed = set().union(*arrows.values()) if arrows else set()
        free = {name for name, targets in arrows.items() if not targets & arrows.keys() or name not in needed}
        if not free:
            break
        arrows = {name: targets - free for name, targets in arrows.items() if name not in free}
    yield from (f"{name} is in a circle of imports" for name in sorted(arrows))


def too_deep(package: Path) -> Iterator[str]:
    """``engine/package/module``; only the panels of the window go one deeper."""
    for path in every_file(package):
        parts = path.relative_to(package).parts
        if len(parts) > (4 if parts[:2] == ("plugin", "panels") else 3):
            yield f"{short(path, package)} is too deep"


def too_many(package: Path) -> Iterator[str]:
    """A folder is taken in at a glance."""
    for folder in sorted({path.parent for path in every_file(package)}):
        if (count := len(modules(folder))) > MAX_MODULES:
            yield f"{short(folder, package)} has {count} modules; {MAX_MODULES} are the most"


def too_long(package: Path) -> Iterator[str]:
    """And so is a file, which says first what it does."""
    for path in every_file(package):
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES:
            yield f"{short(path, package)} has {count} lines; {MAX_LINES} are the most"
        if not ast.get_docstring(tree_of(path)):
            yield f"{short(path, package)} does not say what it does"


def vague_names(package: Path) -> Iterator[str]:
    """A name says what is inside."""
    for path in sorted(package.rglob("*")):
        if any(EMPTY_NAMES.fullmatch(word) for word in path.stem.split("_")):
            yield f"{short(path, package)} has a name that says nothing"


def probed_slides(package: Path) -> Iterator[str]:
    """There is one type of slide, which answers; nobody asks it whether it can."""
    for path in every_file(package):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr") and node.args:
                asked = ast.unparse(node.args[0]).rpartition(".")[2]
                if re.search(r"slide|bundle|cube", asked):
                    yield f"{short(path, package)}:{node.lineno} probes a slide: {ast.unparse(node)}"


OPENERS = {
    "Bundle", "CountCube", "AnnDataSlide", "SpatialDataSlide",
    "open_xenium", "open_count_cube", "open_anndata", "open_spatialdata",
}  # fmt: skip
"""What opens a slide of one kind."""


def opened_elsewhere(package: Path) -> Iterator[str]:
    """Slides are opened by `open_slide`; only the package of the slides knows what kinds there are."""
    for path in every_file(package):
        if path.parent.name != "slides":
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in OPENERS:
                    yield f"{short(path, package)}:{node.lineno} opens a slide of its own: {ast.unparse(node.func)}"


def suffixes_looked_at_elsewhere(package: Path) -> Iterator[str]:
    """What a slide's or a result's path ends with is looked at where slides are opened and results read."""
    allowed = ("engine/slides/opening.py", "engine/export/reading.py")
    for path in every_file(package):
        if short(path, package) not in allowed:
            tree = tree_of(path)
            in_names = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and node.value in (".npz", ".h5ad") and id(node) not in in_names:
                    yield f"{short(path, package)}:{node.lineno} looks for {node.value}"


def built_elsewhere(package: Path) -> Iterator[str]:
    """A job and a result are made in one place."""
    for path in every_file(package):
        if short(path, package) not in ("engine/runs/run.py",):
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("Job", "Result"):
                    yield f"{short(path, package)}:{node.lineno} builds a {ast.unparse(node.func)}"


def others_private_names(package: Path) -> Iterator[str]:
    """What other libraries keep to themselves is used, where it must be, in `plugin/threads` and `plugin/viewer/canvas` alone."""
    for path in every_file(package):
        if path.parent.name == "threads" or short(path, package) == "plugin/viewer/canvas.py":
            continue
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.Constant(value=str(name)):
                    if PRIVATE_ELSEWHERE.fullmatch(name):
                        yield f"{short(path, package)}:{node.lineno} uses {name}, which is another library's own"


def _is_dataclass(node: ast.expr) -> bool:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2] == "dataclass"


def positional_dataclasses(package: Path) -> Iterator[str]:
    """Values of many fields are made by name."""
    for path in every_file(package):
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            marks = [mark for mark in node.decorator_list if _is_dataclass(mark)]
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and _is_field(part)]
            by_name = marks and "kw_only=True" in ast.unparse(marks[0])
            if marks and len(fields) > MAX_POSITIONAL_FIELDS and not by_name and node.name not in PUBLIC_BY_PLACE:
                yield f"{short(path, package)}: {node.name} has {len(fields)} fields and takes them by their place"


PUBLIC_BY_PLACE = {"GeneMap", "SparseMap", "Trained", "Scores", "SlideJob", "Started", "Stepped"}
"""Of the public API, where scripts of others give fields by their place, or match an event's."""


def _is_field(part: ast.AnnAssign) -> bool:
    kind = ast.unparse(part.annotation)
    return not kind.startswith("ClassVar") and "init=False" not in (ast.unparse(part.value) if part.value else "")


def many_parameters(package: Path) -> Iterator[str]:
    """A function that wants more wants a value that holds them; only a command has as many as it has options."""
    for path in every_file(package):
        if path.relative_to(package).parts[0] == "cli":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([each for each in given if each.arg not in ("self", "cls")])
                if count > MAX_PARAMETERS:
                    yield f"{short(path, package)}:{node.lineno} {node.name} takes {count} parameters"


FRAGMENTS = re.compile(
    r"(The same|Of|As|For|In|On|By|From|With|Which|What|How|And|To|Also|Only|Once|Not|Or|At|After|Before|Until|That|Where|"
    r"When|If|Unless|Each)\b"
)
"""Beginnings that lean on the line above. ``Whether`` may stay: it is what a question's answer says."""


def fragments(package: Path) -> Iterator[str]:
    """A docstring opens with a noun or a verb."""
    for path in every_file(package):
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name[0] == "_":
                continue
            if opening := FRAGMENTS.match(ast.get_docstring(node) or ""):
                yield f"{short(path, package)}:{node.lineno} {node.name} opens with {opening[0]!r}"


REFERENCE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?\.([\w.]+)`")


def lost_references(package: Path) -> Iterator[str]:
    """What a docstring refers to with a dot before it is there."""
    names = {".".join(path.relative_to(package).with_suffix("").parts): _names_in(path) for path in every_file(package)}
    for path in every_file(package):
        for reference in REFERENCE.findall(path.read_text(encoding="utf-8")):
            parts = reference.split(".")
            if not any(_is_named(parts, module.split("."), inside) for module, inside in names.items()):
                yield f"{short(path, package)} refers to {reference}, which is not there"


def _names_in(path: Path) -> set[str]:
    """``function``, ``Class`` and ``Class.member`` of a module, and what an instance is given by the class's own functions."""
    names: set[str] = set()
    for node in tree_of(path).body:
        names |= _bound(node)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{member}" for part in node.body for member in _bound(part)}
            own = [
                part.attr
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
            ]
            names |= {f"{node.name}.{member}" for member in own}
    return names


def _bound(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Assign(targets=targets):
            return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return set()


def _is_named(parts: list[str], module: list[str], names: set[str]) -> bool:
    """Whether the reference is a name of this module, or the module, as far as it says which."""
    return any(
        module[len(module) - count :] == parts[:count] and (count == len(parts) or ".".join(parts[count:]) in names)
        for count in range(min(len(parts), len(module)) + 1)
    )


def lines_of_the_tree(package: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(name with its indent, what it does) of every folder and file of a package, from the packages' docstrings."""
    for line in (ast.get_docstring(tree_of(package / "__init__.py")) or "").splitlines():
        if entry := re.match(r"([a-z_0-9]+)(/?)  +(\S.*)", line):
            name, is_folder, says = entry.groups()
            yield f"{'  ' * depth}{name}{'/' if is_folder else '.py'}", says
            if is_folder:
                yield from lines_of_the_tree(package / name, depth + 1)
