"""Every role keeps the same promises: a typed interface that its defaults agree with, a teardown, a README."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.tree import ROLES, ROOT, load_yaml, texts


def folder(role):
    return ROOT / "roles" / role


def entry_points(role) -> dict:
    return load_yaml(folder(role) / "meta" / "argument_specs.yml")["argument_specs"]


def load_yaml_or_nothing(path) -> dict:
    return (load_yaml(path) or {}) if path.exists() else {}


def defaults(role) -> dict:
    return load_yaml_or_nothing(folder(role) / "defaults" / "main.yml")


def is_template(value) -> bool:
    if isinstance(value, dict):
        return any(is_template(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(is_template(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)


ENTRIES = [(role, entry) for role in ROLES if (folder(role) / "meta" / "argument_specs.yml").exists() for entry in entry_points(role)]
each_role = pytest.mark.parametrize("role", ROLES)
each_entry = pytest.mark.parametrize(("role", "entry"), ENTRIES, ids=[f"{role}-{entry}" for role, entry in ENTRIES])


@each_role
def test_has_an_argument_spec_with_a_main_entry_point(role):
    spec = entry_points(role)
    assert "main" in spec
    assert all(entry.get("short_description") for entry in spec.values())


@each_entry
def test_entry_point_has_its_task_file(role, entry):
    tasks = folder(role) / "tasks"
    assert (tasks / f"{entry}.yml").exists() or (tasks / f"{entry}.yaml").exists()


@each_role
def test_a_teardown_is_typed(role):
    """`tasks_from: absent` is validated only when the entry point exists."""
    if (folder(role) / "tasks" / "absent.yml").exists():
        assert "absent" in entry_points(role)


def test_every_entry_point_in_use_is_typed():
    """`tasks_from` a file that the spec does not name skips the validation without a word."""
    uses = re.compile(r"name: (\w+)\n\s+tasks_from: (\w+)")
    used = {
        match.groups()
        for text in texts("playbooks/*.yml", "roles/*/tasks/*.yml", "molecule/*.yml").values()
        for match in uses.finditer(text)
    }
    assert used and used <= set(ENTRIES), f"no entry point in argument_specs.yml: {sorted(used - set(ENTRIES))}"


@each_entry
def test_entry_point_types_what_it_reads(role, entry):
    """What is read and not typed is never checked. `main` types the inputs of the other entry points, too: a bad one is found before there
    is anything to tear down. One that takes all of `main`'s inputs describes the same thing, and needs not read each."""
    options = {name: set(spec.get("options") or {}) for name, spec in entry_points(role).items()}
    reads = names_read(role, entry) & set().union(*options.values())
    assert reads <= options[entry], f"read and not typed: {sorted(reads - options[entry])}"
    whole = options[entry] == options["main"]
    read_by_others = set().union(*(names_read(role, name) for name in options)) if whole else set()
    unread = options[entry] - reads - read_by_others
    assert not unread, f"typed and read by nobody: {sorted(unread)}"


# Of an input that names a folder of templates outside of its role.
TEMPLATES = {"monitoring_manifests": "k8s/*.j2"}


def names_read(role, entry) -> set[str]:
    """Words in what an entry point runs: its task files, handlers, templates, and the defaults and internals that these are made of."""
    made_of = defaults(role)
    for path in (folder(role) / "vars" / "main.yml", *sorted((folder(role) / "vars" / "main").glob("*.yml"))):
        made_of |= load_yaml_or_nothing(path)
    words, seen = set(), set()
    pending = [file_of(role, "tasks", f"{entry}.yml"), file_of(role, "handlers", "main.yml")]
    while pending:
        text = pending.pop()
        found = set(re.findall(r"\w+", text)) - words
        words |= found
        files = set(re.findall(r"[\w./-]+\.(?:yml|j2)", text)) - seen
        seen |= files
        pending += [file_of(role, part, name) for name in files for part in ("tasks", "templates")]
        pending += [str(made_of[name]) for name in found & made_of.keys()]
        pending += [template for name in found & TEMPLATES.keys() for template in texts(TEMPLATES[name]).values()]
    return words


def file_of(role, part, name) -> str:
    path = folder(role) / part / name
    return path.read_text("utf-8") if path.is_file() else ""


@each_entry
def test_options_are_named_after_the_role_typed_and_described(role, entry):
    for name, option in (entry_points(role)[entry].get("options") or {}).items():
        assert name.startswith(f"{role}_"), f"{name}: inputs of a role carry its name"
        assert option.get("type"), f"{name}: no type"
        assert option.get("description"), f"{name}: no description"


@each_role
def test_every_default_is_specified(role):
    options = entry_points(role)["main"].get("options") or {}
    assert set(defaults(role)) <= set(options), f"in defaults/main.yml only: {sorted(set(defaults(role)) - set(options))}"


@each_entry
def test_spec_and_defaults_say_the_same(role, entry):
    """A literal default stands in both files with the same value; a templated one may stand in defaults/main.yml alone."""
    values = defaults(role)
    for name, option in (entry_points(role)[entry].get("options") or {}).items():
        if name not in values:
            assert "default" not in option, f"{name}: the spec's default is never injected, defaults/main.yml lacks it"
            continue
        assert not option.get("required"), f"{name}: required, and yet it has a default"
        if "default" in option:
            assert option["default"] == values[name] and type(option["default"]) is type(values[name]), (
                f"{name}: spec {option['default']!r}, defaults {values[name]!r}"
            )
        else:
            assert is_template(values[name]), f"{name}: defaults/main.yml says {values[name]!r}, the spec nothing"


@each_entry
def test_defaults_pass_their_own_spec(role, entry):
    options = entry_points(role)[entry].get("options") or {}
    literal = {name: value for name, value in defaults(role).items() if name in options and not is_template(value)}
    spec = {name: clean(options[name]) for name in literal}
    result = ArgumentSpecValidator(spec).validate(literal)
    assert not result.error_messages, result.error_messages


def clean(option):
    """Keep the keys that the validator knows; the default is what is being validated."""
    known = {key: value for key, value in option.items() if key in ("type", "choices", "elements", "options", "required")}
    if "options" in known:
        known["options"] = {name: clean(inner) for name, inner in known["options"].items()}
    return known


@each_role
def test_an_input_without_a_default_is_still_in_the_manual(role):
    """defaults/main.yml is the manual of a role: what has no safe value stands there as a comment."""
    path = folder(role) / "defaults" / "main.yml"
    manual = path.read_text("utf-8") if path.exists() else ""
    options = entry_points(role)["main"].get("options") or {}
    missing = [name for name in options if not re.search(rf"^#?\s*{name}:", manual, re.MULTILINE)]
    assert not missing, f"not in defaults/main.yml: {missing}"


def example(role) -> list[dict]:
    """The play of a role's README."""
    readme = (folder(role) / "README.md").read_text("utf-8")
    plays = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)]
    plays = [play for play in plays if "hosts" in play[0]]
    assert len(plays) == 1, "README.md shows one example, a whole play"
    return plays[0]


@each_role
def test_readme_shows_a_play_that_gives_every_required_input(role):
    tasks = [task for play in example(role) for task in play["tasks"]]
    given = [
        set(task.get("vars", {}))
        for task in tasks
        if task.get("ansible.builtin.include_role", {}).get("name") == role and "tasks_from" not in task["ansible.builtin.include_role"]
    ]
    options = entry_points(role)["main"].get("options") or {}
    required = {name for name, option in options.items() if option.get("required")}
    assert given and all(required <= names <= set(options) for names in given), f"required: {required}, given: {given}"


def test_examples_of_the_readmes_are_playbooks(tmp_path):
    playbook = tmp_path / "examples.yml"
    playbook.write_text(yaml.safe_dump([play for role in ROLES for play in example(role)]), "utf-8")
    command = ["ansible-playbook", "--syntax-check", "-i", "inventories/lab/hosts.yml", playbook]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@each_role
def test_suite_values_are_read_in_defaults_only(role):
    """A role that reads suite_* in its tasks cannot be lifted out."""
    reads = {"tasks": r"\bsuite_\w+", "templates": r"\bsuite_\w+", "handlers": r"\bsuite_\w+", "vars": r"\{\{[^}]*\bsuite_\w+"}
    found = [
        str(path.relative_to(ROOT))
        for part, pattern in reads.items()
        for path in (folder(role) / part).rglob("*")
        if path.is_file() and re.search(pattern, path.read_text("utf-8"))
    ]
    assert not found, found


@each_role
def test_inputs_of_other_roles_are_not_read(role):
    others = [other for other in ROLES if other != role and not other.startswith(f"{role}_") and not role.startswith(f"{other}_")]
    private = re.compile(r"\b__(" + "|".join(map(re.escape, others)) + r")_\w+") if others else None
    if private is None:
        return
    places = [
        path
        for part in ("tasks", "templates", "handlers", "vars", "defaults")
        for path in (folder(role) / part).rglob("*")
        if path.is_file()
    ]
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in places for match in private.finditer(path.read_text("utf-8"))]
    assert not found, found
