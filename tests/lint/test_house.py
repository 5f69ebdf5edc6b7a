"""Files stay small enough to be read, and nothing lies about that nobody comes to."""

from __future__ import annotations

import ast
import re

from tests.tree import ROLES, ROOT, load_yaml, texts

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


RDS = "amazon.aws.rds_instance"
RENAMED = "new_db_instance_identifier"


def test_a_renamed_database_is_listed_before_its_role_waits_for_it():
    """AWS needs minutes for the name, and the role takes a database that is not listed for one that is missing. moto renames at once."""
    tested = 0
    for path in sorted((ROOT / "playbooks" / "tasks").glob("*.yml")):
        tasks = load_yaml(path)
        used = [number for number, task in enumerate(tasks) if task.get("ansible.builtin.include_role", {}).get("name") == "database"]
        renamed = [number for number, task in enumerate(tasks) if RENAMED in task.get(RDS, {})]
        if not used or not renamed:
            continue
        name, between = tasks[renamed[-1]][RDS][RENAMED], tasks[renamed[-1] + 1 : used[0]]
        listed = [task for task in between if task.get(f"{RDS}_info", {}).get("db_instance_identifier") == name]
        assert listed and "instances | default([]) | length > 0" in listed[-1]["until"], f"{path.name}: nobody waits for {name}"
        tested += 1
    assert tested == 2
