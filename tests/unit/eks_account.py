"""An account in which the modules of EKS wait for nothing: whatever they would sleep through has happened."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from ansible_collections.espalier.aws.plugins.module_utils import eks as waiting

from tests.unit.run_module import run_module
from tests.unit.test_lab_eks import NAME, Account, account  # noqa: F401 (a fixture)


@pytest.fixture
def run(account: Account, capsys, monkeypatch):  # noqa: F811
    """Run a module against it."""
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    clock = SimpleNamespace(now=time.monotonic())

    def sleep(seconds: float) -> None:
        clock.now += seconds
        account.step()

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return lambda module, /, **options: run_module(capsys, module, **options)


def cycle(run, module: str, look, **options) -> dict:
    """Create, create again, delete, delete again, each planned first; the answer of the creation. `look` is what the account has of it."""
    before, answers = look(), []
    for state, changes in (("present", True), ("present", False), ("absent", True), ("absent", False)):
        was = look()
        planned = run(module, check_mode=True, state=state, **options)
        assert planned.get("changed") is changes, planned
        assert look() == was, "a plan has changed something"
        answers.append(run(module, state=state, **options))
        assert answers[-1].get("changed") is changes, answers[-1]
        assert (look() == before) is (state == "absent")
    return answers[0]
