"""The lab's additions to moto for one test: patched in, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from moto import mock_aws


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
