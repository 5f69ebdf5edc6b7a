"""Documentation that points to nothing, or leaves a part out, is wrong."""

from __future__ import annotations

import re
import shlex

import botocore.session
import pytest
from botocore import xform_name

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


PARITY = (ROOT / "docs" / "parity.md").read_text("utf-8")
# Of the client itself.
CLIENT_OPTIONS = {"query", "output"}


def commands_of_parity() -> list[str]:
    """What stands between backticks in the second column, commands inside of commands apart."""
    cells = [line.split(" | ", 1)[1] for line in PARITY.splitlines() if line.startswith("| ") and not line.startswith("| row |")]
    found = [command for cell in cells for command in re.findall(r"`([^`]+)`", cell)]
    return [part for command in found for part in (re.sub(r"\$\([^)]*\)", "x", command), *re.findall(r"\$\(([^)]*)\)", command))]


def test_every_row_of_parity_has_something_to_run_or_to_read():
    rows = [line for line in PARITY.splitlines() if line.startswith("| ") and not line.startswith("| row |")]
    assert len(rows) > 60 and not [row for row in rows if not re.search(r"`[^`]+`|\]\(|the same|rows? ", row.split(" | ", 1)[1])]


@pytest.mark.parametrize("command", commands_of_parity())
def test_a_command_of_parity_runs_as_it_is_printed(command):
    """Nothing is left to fill in, files are there, and an operation of AWS gets what it cannot do without and knows every option."""
    assert "..." not in command and "<" not in command
    words = shlex.split(command)
    if words[0] == "pytest":
        assert (ROOT / words[1]).is_file()
    if words[0] == "ansible-playbook":
        assert (ROOT / words[1]).is_file()
    if words[0] in ("aws", "make", "helm", "kubectl", "pytest", "ansible-playbook"):
        assert len(words) > 1
    if words[0] == "aws":
        model = botocore.session.get_session().get_service_model({"s3api": "s3"}.get(words[1], words[1]))
        (operation,) = [name for name in model.operation_names if xform_name(name, "-") == words[2]]
        shape = model.operation_model(operation).input_shape
        given = {word.removeprefix("--") for word in words[3:] if word.startswith("--")} - CLIENT_OPTIONS
        assert {xform_name(name, "-") for name in shape.required_members} <= given
        assert given <= {xform_name(name, "-") for name in shape.members}
