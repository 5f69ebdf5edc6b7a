"""bucket_drift names each setting that somebody changed behind the suite's back, and none that nobody did."""

from __future__ import annotations

import json

import pytest

from tests.tree import ROOT, load_yaml
from tests.unit.moto_patches import client
from tests.unit.releases import BUCKET
from tests.unit.run_module import run_module

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "RefuseUnencryptedTransport",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}
BLOCKS = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
WANTED = {
    "private": True,
    "object_ownership": "BucketOwnerEnforced",
    "encryption": "AES256",
    "versioning": True,
    "policy": POLICY,
    "tags": {"Project": "django", "Environment": "lab"},
    "lifecycle": [
        {"rule_id": "logs", "prefix": "logs/", "expiration_days": 90},
        {"rule_id": "retired", "state": "absent"},
    ],
}
RULE = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 90}}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


@pytest.fixture
def s3(store):
    """A bucket that is as it is wanted."""
    s3 = client("s3")
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=BLOCKS)
    s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=ENCRYPTION)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in WANTED["tags"].items()]})
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [RULE]})
    return s3


def drift(capsys, **changed) -> dict:
    return run_module(capsys, "bucket_drift", name=BUCKET, **{**WANTED, **changed})


def test_no_drift(capsys, s3):
    result = drift(capsys)
    assert (result["changed"], result["differences"]) == (False, {})


def open_one_block(s3):
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration={**BLOCKS, "RestrictPublicBuckets": False})


DRIFTS = {
    "public": ("private", lambda s3: s3.delete_public_access_block(Bucket=BUCKET)),
    "public in one of four": ("private", open_one_block),
    "ownership": ("object_ownership", lambda s3: s3.delete_bucket_ownership_controls(Bucket=BUCKET)),
    "versioning": ("versioning", lambda s3: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})),
    "policy": ("policy", lambda s3: s3.delete_bucket_policy(Bucket=BUCKET)),
    "tags": ("tags", lambda s3: s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "Project", "Value": "other"}]})),
    "rule gone": ("lifecycle logs", lambda s3: s3.delete_bucket_lifecycle(Bucket=BUCKET)),
    "rule off": (
        "lifecycle logs",
        lambda s3: s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [{**RULE, "Status": "Disabled"}]}),
    ),
    "rule that was retired": (
        "lifecycle retired",
        lambda s3: s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration={"Rules": [RULE, {**RULE, "ID": "retired", "Filter": {"Prefix": "old/"}}]}
        ),
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_drift(capsys, s3, name):
    setting, act = DRIFTS[name]
    act(s3)
    result = drift(capsys)
    assert (result["changed"], list(result["differences"])) == (True, [setting])
    assert setting in result["diff"]["before"] and setting in result["diff"]["after"]


def test_marks_of_deleted_objects(capsys, s3):
    wanted = [{"rule_id": "older", "noncurrent_version_expiration_days": 30, "expire_object_delete_marker": True}]
    rule = {"ID": "older", "Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    assert list(drift(capsys, lifecycle=wanted)["differences"]) == ["lifecycle older"]
    rule["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    assert drift(capsys, lifecycle=wanted)["changed"] is False


def test_policy_that_shall_be_none(capsys, s3):
    assert list(drift(capsys, policy={})["differences"]) == ["policy"]
    s3.delete_bucket_policy(Bucket=BUCKET)
    assert drift(capsys, policy={})["changed"] is False


def test_what_is_not_asked_for_is_not_compared(capsys, s3):
    s3.delete_bucket_policy(Bucket=BUCKET)
    assert run_module(capsys, "bucket_drift", name=BUCKET, private=True)["changed"] is False


def test_a_bucket_that_does_not_exist_differs(capsys, s3):
    assert run_module(capsys, "bucket_drift", name="nobody-has-this", private=True, versioning=True)["changed"] is True


@pytest.mark.parametrize("role", ["session_bucket", "static_bucket"])
def test_a_plan_looks_at_what_the_role_sets(role):
    """Each setting by the same expression, `omit` included: else a plan names what no run would touch."""
    tasks = load_yaml(ROOT / "roles" / role / "tasks" / "main.yml")
    (seen,) = (task["espalier.aws.bucket_drift"] for task in tasks if "espalier.aws.bucket_drift" in task)
    (made,) = (task["amazon.aws.s3_bucket"] for task in tasks if "amazon.aws.s3_bucket" in task)
    settings = {"name", "object_ownership", "encryption", "versioning", "tags"}
    assert {key: seen.get(key) for key in settings} == {key: made.get(key) for key in settings}
