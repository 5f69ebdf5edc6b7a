"""Each linter over the whole tree, as its own configuration file says."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.tree import PLAYBOOKS, ROOT, VENV_BIN, load_yaml, tracked
from tests.unit import test_user_data


def run(*command: object, seconds: int = 300) -> None:
    environment = {**os.environ, "PATH": f"{VENV_BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
    result = subprocess.run(
        [str(word) for word in command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert result.returncode == 0, f"{command[0]} answered {result.returncode}\n{result.stdout[-8000:]}{result.stderr[-4000:]}"


def test_yamllint():
    run("yamllint", "--strict", ".")


def test_ansible_lint():
    configuration = load_yaml(ROOT / ".ansible-lint")
    assert configuration["profile"] == "production"
    assert configuration["skip_list"] == [] and configuration["warn_list"] == []
    run("ansible-lint", "--offline", "-q", "--nocolor", seconds=900)


def test_no_rule_is_switched_off_in_place():
    """A `noqa` is a skip list in small pieces."""
    marker = "no" + "qa"
    found = [path.relative_to(ROOT) for path in tracked("*.yml") if f"# {marker}" in path.read_text("utf-8")]
    assert not found, f"rules of ansible-lint are switched off in {found}"


def test_ruff_check():
    run("ruff", "check", ".")


def test_ruff_format():
    run("ruff", "format", "--check", ".")


def test_shellcheck(tmp_path):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; as root: apt-get install shellcheck")
    found = [path for path in tracked() if path.suffix == ".sh" or is_shell(path)]
    templates = [path for path in found if path.suffix == ".j2"]
    assert [path.name for path in templates] == ["user_data.sh.j2"], "a template can only be checked as what it becomes"
    first_boot = tmp_path / "user_data.sh"
    first_boot.write_text(test_user_data.render(user_data_release_parameter="/DjangoApp/release"), "utf-8")
    scripts = [first_boot, *(path for path in found if path not in templates)]
    run("shellcheck", "--external-sources", *scripts)


def is_shell(path) -> bool:
    with path.open("rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and first.split()[-1].rsplit(b"/", 1)[-1] in (b"sh", b"bash", b"dash")


def test_playbook_syntax():
    run("ansible-playbook", "--syntax-check", "-i", "inventories/lab/hosts.yml", *PLAYBOOKS)
