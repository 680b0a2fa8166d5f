"""What the README and the documentation show and link to comes with the repository."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_file_that_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    targets = [(page.parent / link).resolve() for link in links if "://" not in link and not link.startswith("mailto:")]
    for target in targets:
        assert target.exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_source_file_that_a_page_names_is_there(page):
    """Named from the repository's folder or from the package's, its engine's or its window's."""
    text = page.read_text(encoding="utf-8")
    package = REPOSITORY / "src/napari_s2sst"
    homes = [REPOSITORY, package, package / "engine", package / "plugin"]
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.py)`", text))
    lost = [name for name in named if not any((home / name).is_file() for home in homes)]
    assert not lost, f"{page.name} names {', '.join(sorted(lost))}, which is not there"


def test_every_test_that_the_table_of_faults_names_is_there():
    text = (REPOSITORY / "docs/reliability.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    named = re.findall(r"`((?:\.\.\._)?[a-z0-9]+(?:_[a-z0-9]+)+_?(?:\.\.\.)?)(?:\[\w+\])?`", text)
    names = [name for name in named if name.startswith("..._") or name.endswith("...")]
    assert len(names) > 40
    lost = [name for name in names if name.strip("._") not in tests]
    assert not lost, f"reliability.md names {', '.join(lost)}, which no test is called"


def test_every_place_that_the_glossary_names_is_there():
    text = (REPOSITORY / "docs/glossary.md").read_text(encoding="utf-8")
    package = REPOSITORY / "src/napari_s2sst"
    places = re.findall(r"\| `([a-z_0-9/]+)(?:\.[A-Z]\w+)?` \|$", text, re.MULTILINE)
    assert len(places) > 30
    lost = [
        place for place in places if not any((home / f"{place}.py").is_file() for home in (package, package / "engine"))
    ]
    assert not lost, f"glossary.md names {', '.join(lost)}, which is not there"
