"""What every rehearsal stands on: a lab with the whole system in it, built where it is not there yet."""

from __future__ import annotations

import pytest

from tests.acceptance.system import System
from tests.e2e.conftest import recorder

__all__ = ["recorder"]


@pytest.fixture(scope="session")
def built(recorder) -> System:
    """The system, as site.yml leaves it."""
    for outcome in (recorder.lab("up", seconds=300), recorder.playbook("site", "site.yml", seconds=1800)):
        assert outcome.returncode == 0, f"exit code {outcome.returncode}, all of it in {outcome.log}\n{outcome.tail()}"
    return System()
