"""Asked over S3's API: nobody but the account reads it, nothing is stored in the clear, and what nobody needs goes."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.data import check_bucket_is_private, check_static_bucket
from tests.molecule.fixtures import account_of

NAME = {
    "defaults": "defaults-django-static-123456789012",
    "altered": "shop-static",
    "served": "served-django-static-123456789012",
}


def test_private_and_encrypted(account):
    check_bucket_is_private(account, NAME[account.environment])


def test_tags_of_the_defaults(defaults):
    check_static_bucket(defaults)


def test_ownership(account):
    answer = account.client("s3").get_bucket_ownership_controls(Bucket=NAME[account.environment])
    assert answer["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_defaults_keep_one_version_and_everything(defaults):
    s3 = defaults.client("s3")
    assert s3.get_bucket_versioning(Bucket=NAME["defaults"]).get("Status") != "Enabled"
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=NAME["defaults"])


def test_versions_and_expiry(altered):
    s3 = altered.client("s3")
    assert s3.get_bucket_versioning(Bucket=NAME["altered"])["Status"] == "Enabled"
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=NAME["altered"])["Rules"]}
    assert rules["older-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rules["older-versions"]["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert rules["logs"]["Expiration"]["Days"] == 14
    assert rules["logs"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1, "older versions of logs stay as long as everything's"
    assert {rule["Status"] for rule in rules.values()} == {"Enabled"}


def test_unencrypted_transport_is_refused(altered):
    statements = json.loads(altered.client("s3").get_bucket_policy(Bucket=NAME["altered"])["Policy"])["Statement"]
    refusal = [s for s in statements if s["Effect"] == "Deny" and s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}]
    arn = f"arn:aws:s3:::{NAME['altered']}"
    assert [(s["Principal"], s["Action"], s["Resource"]) for s in refusal] == [("*", "s3:*", [arn, f"{arn}/*"])]


def test_load_balancers_of_this_account_may_write_logs(defaults):
    (statement,) = json.loads(defaults.client("s3").get_bucket_policy(Bucket=NAME["defaults"])["Policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "s3:PutObject")
    assert statement["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert statement["Resource"] == f"arn:aws:s3:::{NAME['defaults']}/logs/load-balancer/AWSLogs/123456789012/*"


def test_nobody_else_may_do_anything(altered):
    statements = json.loads(altered.client("s3").get_bucket_policy(Bucket=NAME["altered"])["Policy"])["Statement"]
    assert not [statement for statement in statements if statement["Effect"] == "Allow"]


def test_one_distribution_may_read_some_folders():
    policy = account_of("served").client("s3").get_bucket_policy(Bucket=NAME["served"])["Policy"]
    (statement,) = (found for found in json.loads(policy)["Statement"] if found["Sid"] == "ServeThroughCloudFront")
    assert (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": "cloudfront.amazonaws.com"})
    assert statement["Action"] == "s3:GetObject"
    arn = f"arn:aws:s3:::{NAME['served']}"
    assert statement["Resource"] == [f"{arn}/static/*", f"{arn}/media/*"]
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceArn": "arn:aws:cloudfront::123456789012:distribution/E0"}}


def test_gone(account):
    names = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}
    assert NAME[account.environment] not in names
