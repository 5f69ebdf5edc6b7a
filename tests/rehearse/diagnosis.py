"""What the doctor says of a system that was broken on purpose."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from tests.e2e.steps import succeeded
from tests.tree import VENV_BIN

ANSIBLE = str(VENV_BIN / "ansible-playbook")
# For the doctor: health checks, agents and the log of the database are seconds behind.
NAMED_SECONDS = 90
# For what is mended to be seen: a machine that starts anew, targets that become healthy.
MENDED_SECONDS = 180


def diagnose(recorder, name: str, *options: str) -> dict:
    outcome = succeeded(recorder.run(f"doctor, {name}", ANSIBLE, "playbooks/doctor.yml", "-e", "output=json", *options))
    return json.loads(outcome.output[outcome.output.index("{") : outcome.output.rindex("}") + 1])


def named(diagnosis: dict, finding: str, fix: str) -> list[dict]:
    """The findings with these words in what is wrong, and those in its fix."""
    return [one for one in diagnosis["findings"] if finding in f"{one['subject']} {one['problem']}" and fix in one["fix"]]


def await_named(recorder, name: str, finding: str, fix: str, *options: str) -> None:
    deadline = time.monotonic() + NAMED_SECONDS
    while not named(found := diagnose(recorder, name, *options), finding, fix):
        assert time.monotonic() < deadline, f"the doctor does not name it: {json.dumps(found, indent=1)}"
        time.sleep(3)


def await_mended(recorder, name: str, left: Callable[[dict], list[dict]]) -> None:
    deadline = time.monotonic() + MENDED_SECONDS
    while found := left(diagnose(recorder, f"{name}, mended")):
        assert time.monotonic() < deadline, f"the fix did not mend it: {json.dumps(found, indent=1)}"
        time.sleep(3)


def problems(diagnosis: dict) -> list[dict]:
    return [one for one in diagnosis["findings"] if one["severity"] == "problem"]
