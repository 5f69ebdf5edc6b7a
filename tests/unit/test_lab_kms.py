"""Keys of the lab go and come back by their ARN."""

from __future__ import annotations

from moto.kms.models import KmsBackend

from lab.api import kms
from tests.unit.moto_patches import client, patched


def test_a_key_goes_and_comes_back_by_its_arn():
    with patched(kms, KmsBackend):
        key = client("kms").create_key()["KeyMetadata"]
        client("kms").schedule_key_deletion(KeyId=key["Arn"], PendingWindowInDays=7)
        assert client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
        client("kms").cancel_key_deletion(KeyId=key["Arn"])
        assert client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"
