"""Files stay small enough to be read, and nothing lies about that nobody comes to."""

from __future__ import annotations

import ast
import re

from tests.tree import ROLES, ROOT, texts

TASK_FILE_LINES = 100
MAIN_LINES = 60


def test_task_files_are_short():
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path, text in texts("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/tasks/*.yml", "molecule/*.yml").items()
        if text.count("\n") > TASK_FILE_LINES
    }
    assert not long


def test_main_of_every_module_is_short():
    modules = texts("collections/ansible_collections/espalier/aws/plugins/modules/*.py")
    mains = {
        path.name: node.end_lineno - node.lineno + 1
        for path, text in modules.items()
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    }
    assert mains and not {name: lines for name, lines in mains.items() if lines > MAIN_LINES}


def test_every_role_is_used():
    """By a playbook, or by another role."""
    used = {
        name
        for text in texts("playbooks/*.yml", "roles/*/tasks/*.yml").values()
        for name in re.findall(r"name: (\w+)$", text, re.MULTILINE)
    }
    assert set(ROLES) <= used, f"nobody calls {sorted(set(ROLES) - used)}"


def test_every_task_file_and_template_is_used():
    """An entry point of the argument spec, or named by a file of the same role or playbook."""
    unused = []
    for role in ROLES:
        files = texts(f"roles/{role}/*")
        specs = files[ROOT / "roles" / role / "meta" / "argument_specs.yml"]
        for path in files:
            if path.parent.name not in ("tasks", "templates") or re.search(rf"^  {path.stem}:$", specs, re.MULTILINE):
                continue
            if not any(path.name in text for other, text in files.items() if other != path):
                unused.append(path)
    playbooks = texts("playbooks/*.yml")
    for path in playbooks:
        if path.parent.name == "tasks" and not any(path.name in text for other, text in playbooks.items() if other != path):
            unused.append(path)
    assert not [str(path.relative_to(ROOT)) for path in unused]


def test_every_decision_is_in_the_list():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    assert not [path.name for path in folder.glob("[0-9]*.md") if f"({path.name})" not in index]
