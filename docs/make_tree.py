"""Write the tree of the packages, as their docstrings have it, into CONTRIBUTING.md: `make tree`."""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.architecture import lines_of_the_tree  # noqa: E402

BEGIN, END = "<!-- tree: made by `make tree` -->", "<!-- end of tree -->"


def tree() -> str:
    """A line for each folder and file, in reading order."""
    lines = [("src/napari_s2sst/", "")]
    package = REPOSITORY / "src/napari_s2sst"
    for part, says in (
        ("engine", "the science, without a window"),
        ("plugin", "the window: napari's reader, layers, dock widget"),
        ("cli", "the command line `s2sst`"),
    ):
        lines += [(f"  {part}/", says), *((f"    {name}", what) for name, what in lines_of_the_tree(package / part))]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"    {name:<{width}}{says}".rstrip() for name, says in lines)


if __name__ == "__main__":
    page = REPOSITORY / "CONTRIBUTING.md"
    text = page.read_text(encoding="utf-8")
    made = f"{BEGIN}\n\n{tree()}\n\n{END}"
    page.write_text(
        re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8"
    )
