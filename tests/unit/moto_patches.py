"""The lab's additions to moto for one test: patched in, and taken back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import boto3
from moto import mock_aws

# For one call at a time (conftest.py), as in the lab's server: moto's backends are plain dictionaries, which two threads would tear.
LOCK = threading.RLock()


@cache
def client(service: str):
    """A client for every test: making one costs a third of a second."""
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


@contextmanager
def patched(addition: ModuleType, *owners: type) -> Iterator[None]:
    """An empty account in which the addition is installed. `owners` are the classes that it patches."""
    before = {owner: dict(vars(owner)) for owner in owners}
    with mock_aws():
        addition.install()
        try:
            yield
        finally:
            for owner, attributes in before.items():
                for name, value in list(vars(owner).items()):
                    if name not in attributes:
                        delattr(owner, name)
                    elif value is not attributes[name]:
                        setattr(owner, name, attributes[name])
