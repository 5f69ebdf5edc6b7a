"""Make the in-repo collection importable beside the collections of the `ansible` package, as Ansible itself does."""

from __future__ import annotations

import os

import ansible_collections
import botocore.loaders
import botocore.session
import pytest
from moto import mock_aws

from tests.tree import ROOT

# Each test begins and ends with a new account: without moto's 650 images and AWS's 1400 policies in it, and with service models that
# are read once.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "false"
LOADER = botocore.loaders.create_loader()
botocore.session.create_loader = lambda *_arguments: LOADER
OURS = str(ROOT / "collections" / "ansible_collections")
if OURS not in ansible_collections.__path__:
    ansible_collections.__path__.append(OURS)


@pytest.fixture
def store(monkeypatch):
    """An account with the bucket of the releases."""
    from tests.unit.moto_patches import client
    from tests.unit.releases import BUCKET

    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client("s3").create_bucket(Bucket=BUCKET)
        yield
