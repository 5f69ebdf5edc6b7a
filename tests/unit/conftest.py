"""The in-repo collection is importable beside those of the `ansible` package, as Ansible itself does it; promtool is built meanwhile."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import ansible_collections
import botocore.loaders
import botocore.session
import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from lab.go import BuildError
from tests.tree import ROOT
from tests.unit import moto_patches
from tests.unit.promtool import Build

# Each test begins and ends with a new account: with service models that are read once.
LOADER = botocore.loaders.create_loader()
botocore.session.create_loader = lambda *_arguments: LOADER
OURS = str(ROOT / "collections" / "ansible_collections")
if OURS not in ansible_collections.__path__:
    ansible_collections.__path__.append(OURS)


@pytest.fixture(scope="package", autouse=True)
def small_accounts():
    """Accounts without moto's 650 images and AWS's 1400 policies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
        yield


@pytest.fixture(scope="package", autouse=True)
def one_call_at_a_time():
    process = BotocoreStubber.process_request

    def locked(*arguments):
        with moto_patches.LOCK:
            return process(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "process_request", locked)
        yield


BUILDING = pytest.StashKey[Build]()


def wants_promtool(item: pytest.Item) -> bool:
    return "promtool" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After everything else: until then it is built, the first time, which takes some minutes of a core that mostly idles."""
    items.sort(key=wants_promtool)


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(map(wants_promtool, session.items)) and not session.config.option.collectonly:
        session.config.stash[BUILDING] = Build()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if BUILDING in session.config.stash:
        session.config.stash[BUILDING].close()


@pytest.fixture(scope="session")
def promtool(pytestconfig) -> Callable:
    """Runs it, and fails with its words."""
    plugins = pytestconfig.pluginmanager
    # Uncaptured, so that its progress is seen.
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        try:
            program = pytestconfig.stash[BUILDING].await_program(plugins.get_plugin("terminalreporter").write_line)
        except BuildError as error:
            pytest.skip(f"promtool cannot be built on this machine: {error}")

    def run(*arguments: object) -> None:
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture
def store(monkeypatch):
    """An account with the bucket of the releases."""
    from tests.unit.releases import BUCKET

    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        moto_patches.client("s3").create_bucket(Bucket=BUCKET)
        yield
