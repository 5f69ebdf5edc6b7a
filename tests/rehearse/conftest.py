"""The rehearsals are kept as the end-to-end sequence is: same recorder, same stop after a failed build step, same diagnosis."""

from __future__ import annotations

import shutil

import pytest

from tests.acceptance.system import System
from tests.e2e.conftest import (
    _stop_after_a_failed_build_step,
    known_secrets,
    pytest_runtest_makereport,
    recorder,
    system,
)
from tests.tree import ROOT

__all__ = [
    "_stop_after_a_failed_build_step",
    "known_secrets",
    "pytest_runtest_makereport",
    "recorder",
    "system",
]


def pytest_collection_modifyitems(items):
    """The cluster's sequence comes last: it builds a system of its own, and removes it."""
    items.sort(key=lambda item: item.path.name == "test_kubernetes.py")


@pytest.fixture(scope="session")
def built(recorder) -> System:
    """The system, as site.yml leaves it."""
    for outcome in (recorder.lab("up", seconds=300), recorder.playbook("site", "site.yml", seconds=1800)):
        assert outcome.returncode == 0, f"exit code {outcome.returncode}, all of it in {outcome.log}\n{outcome.tail()}"
    return System()


@pytest.fixture
def project(tmp_path):
    """A copy of the reference project with other files added; returns the option that deploys it."""

    def make(**files: str) -> tuple[str, str]:
        copy = tmp_path / "app"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT / "app", copy, ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in files.items():
            with (copy / name).open("a") as file:
                file.write(text)
        return "-e", f"app_path={copy}"

    return make
