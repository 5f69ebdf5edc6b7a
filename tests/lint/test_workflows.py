"""CI's workflows, as far as they can be checked without GitHub: pinned actions, least rights, and nothing but make targets that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.tree import ROOT, load_yaml, tracked

WORKFLOWS = tracked(".github/workflows/*.yml")
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def steps(path) -> list[dict]:
    return [step for job in load_yaml(path)["jobs"].values() for step in job["steps"]]


def test_ci_runs_the_same_tests_as_everybody():
    assert any("make test" in step.get("run", "") for step in steps(ROOT / ".github" / "workflows" / "ci.yml"))


@each_workflow
def test_actions_are_pinned_to_a_commit_and_say_their_version(path):
    used = re.findall(r"uses: (.*)", path.read_text("utf-8"))
    loose = [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)]
    assert used and not loose, loose


@each_workflow
def test_workflow_may_only_read_and_ends_by_itself(path):
    workflow = load_yaml(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job.get("timeout-minutes") for job in workflow["jobs"].values())


@each_workflow
def test_jobs_get_no_more_than_an_identity(path):
    given = [job.get("permissions", {}) for job in load_yaml(path)["jobs"].values()]
    assert all(rights.items() <= {"contents": "read", "id-token": "write"}.items() for rights in given)


@each_workflow
def test_workflow_is_one_by_githubs_schema(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_pushed_under_two_names_from_main_alone():
    workflow = load_yaml(ROOT / ".github" / "workflows" / "docker-build.yml")
    assert workflow[True]["push"] == {"branches": ["main"]} and "pull_request" not in workflow[True]
    (job,) = workflow["jobs"].values()
    (push,) = [step["with"] for step in job["steps"] if "build-push-action" in step.get("uses", "")]
    assert push["tags"].splitlines() == ["${{ env.IMAGE }}:latest", "${{ env.IMAGE }}:${{ github.sha }}"]
    assert push["file"] == "app/Dockerfile" and push["push"] is True
    text = json.dumps(job)
    assert "secrets.DOCKERHUB_USERNAME" in text and "secrets.DOCKERHUB_TOKEN" in text and "role-to-assume" in text


@each_workflow
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for step in steps(path) for name in re.findall(r"\bmake ([a-z0-9-]+)", step.get("run", ""))}
    assert named <= targets, named - targets
