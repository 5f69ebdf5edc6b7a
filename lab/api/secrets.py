"""Secrets Manager: who names no version reads the current one, also after the label AWSCURRENT was moved."""

from __future__ import annotations

from moto.secretsmanager.models import SecretsManagerBackend


def install() -> None:
    """Patch moto's secrets."""
    moto_get = SecretsManagerBackend.get_secret_value

    def get_secret_value(self, secret_id, version_id=None, version_stage=None):
        return moto_get(self, secret_id, version_id, version_stage or (None if version_id else "AWSCURRENT"))

    SecretsManagerBackend.get_secret_value = get_secret_value
