"""Asked over S3's API: what Session Manager's file transfer leaves behind is private and goes by itself."""

from __future__ import annotations

import json

from tests.acceptance.data import check_bucket_is_private, check_session_bucket

NAME = {"defaults": "defaults-django-session-123456789012", "altered": "shop-session"}


def test_defaults(defaults):
    check_session_bucket(defaults)


def test_private_and_encrypted(account):
    check_bucket_is_private(account, NAME[account.environment])


def test_files_expire(altered):
    rules = altered.client("s3").get_bucket_lifecycle_configuration(Bucket=NAME["altered"])["Rules"]
    assert [(rule["Status"], rule["Expiration"]["Days"]) for rule in rules] == [("Enabled", 3)]


def test_unencrypted_transport_is_refused(altered):
    statements = json.loads(altered.client("s3").get_bucket_policy(Bucket=NAME["altered"])["Policy"])["Statement"]
    assert [(s["Effect"], s["Condition"]) for s in statements] == [("Deny", {"Bool": {"aws:SecureTransport": "false"}})]


def test_tags(account):
    tags = {tag["Key"]: tag["Value"] for tag in account.client("s3").get_bucket_tagging(Bucket=NAME[account.environment])["TagSet"]}
    assert tags["Environment"] == account.environment and tags.get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    names = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}
    assert NAME[account.environment] not in names
