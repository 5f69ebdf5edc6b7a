"""Documentation that points to nothing, or leaves a part out, is wrong."""

from __future__ import annotations

import re

import pytest

from bin import docs
from tests.tree import ROOT, texts

PAGES = {path: text for path, text in texts("*.md").items() if ".test" not in path.parts}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s#]+)(?:#[\w-]+)?\)", PAGES[page])
    dead = [link for link in links if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists()]
    assert not dead


def test_every_addition_to_moto_is_documented():
    page = (ROOT / "docs" / "lab.md").read_text("utf-8")
    additions = [path.stem for path in (ROOT / "lab" / "api").glob("*.py") if "def install(" in path.read_text("utf-8")]
    missing = [name for name in additions if f"`lab/api/{name}.py`" not in page]
    assert not missing


def test_make_targets_named_in_the_pages_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for text in PAGES.values() for name in re.findall(r"(?:^|`|&& )make ([a-z0-9-]+)", text, re.MULTILINE)}
    assert named and named <= targets, named - targets


def test_every_variable_of_an_application_is_documented():
    page = (ROOT / "docs" / "your-project.md").read_text("utf-8")
    variables = re.findall(r"^(app_\w+):", (ROOT / "group_vars" / "application.yml").read_text("utf-8"), re.MULTILINE)
    missing = [name for name in variables if f"`{name}`" not in page]
    assert variables and not missing


def test_generated_parts_are_current():
    """Made from the same files, so a difference means that somebody changed an input and not its README: `make docs`."""
    stale = [str(path.relative_to(ROOT)) for path, text in docs.generated().items() if not path.exists() or path.read_text("utf-8") != text]
    assert not stale, f"run `make docs`: {stale}"
