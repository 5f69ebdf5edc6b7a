"""KMS where moto takes a key by its id only: ScheduleKeyDeletion and CancelKeyDeletion find it by its ARN, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.kms.models import KmsBackend


def by_arn(original: Callable) -> Callable:
    @functools.wraps(original)
    def wrapper(self: KmsBackend, key_id: str, *arguments: Any, **kwargs: Any) -> Any:
        return original(self, self.any_id_to_key_id(key_id), *arguments, **kwargs)

    return wrapper


def install() -> None:
    """Patch moto's KMS."""
    for name in ("schedule_key_deletion", "cancel_key_deletion"):
        setattr(KmsBackend, name, by_arn(getattr(KmsBackend, name)))
