"""emptied_bucket leaves a bucket that can be deleted, whatever its versioning was when the objects came."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import S3Backend, s3_backends
from moto.s3.responses import S3Response

from lab.api import s3 as addition
from tests.unit.moto_patches import client, patched
from tests.unit.releases import BUCKET
from tests.unit.run_module import run_module


@pytest.fixture
def s3(store):
    with patched(addition, S3Backend, S3Response):
        yield client("s3")


def versions(s3, status: str) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})


def left(s3) -> int:
    found = s3.list_object_versions(Bucket=BUCKET)
    return len(found.get("Versions", []) + found.get("DeleteMarkers", []))


def test_what_was_there_before_versioning_goes_too(s3, capsys):
    s3.put_object(Bucket=BUCKET, Key="before", Body=b"1")
    versions(s3, "Enabled")
    for _ in range(2):
        s3.put_object(Bucket=BUCKET, Key="before", Body=b"2")
        s3.put_object(Bucket=BUCKET, Key="since", Body=b"2")
    s3.delete_object(Bucket=BUCKET, Key="since")
    versions(s3, "Suspended")
    s3.put_object(Bucket=BUCKET, Key="after", Body=b"3")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=BUCKET)
    planned = run_module(capsys, "emptied_bucket", name=BUCKET, check_mode=True)
    assert (planned["changed"], planned["removed"]) == (True, 7) and left(s3) == 7
    assert run_module(capsys, "emptied_bucket", name=BUCKET)["removed"] == 7
    assert left(s3) == 0
    assert run_module(capsys, "emptied_bucket", name=BUCKET)["changed"] is False
    s3.delete_bucket(Bucket=BUCKET)


def test_a_bucket_without_versions_and_with_more_than_a_page(s3, capsys):
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(1001):
        backend.put_object(BUCKET, f"{number:04}", b"")
    assert run_module(capsys, "emptied_bucket", name=BUCKET)["removed"] == 1001
    s3.delete_bucket(Bucket=BUCKET)


def test_a_bucket_that_is_not_there_is_empty(store, capsys):
    assert run_module(capsys, "emptied_bucket", name="nobody-has-this")["changed"] is False


def test_what_cannot_be_removed_is_named(s3, capsys, monkeypatch):
    from ansible_collections.espalier.aws.plugins.modules import emptied_bucket

    class Refusing:
        def __init__(self, s3) -> None:
            self.get_paginator = s3.get_paginator

        def delete_objects(self, **_):
            return {"Errors": [{"Key": "kept", "VersionId": "null", "Code": "AccessDenied", "Message": "locked until 2030"}]}

    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"1")
    monkeypatch.setattr(emptied_bucket, "make_clients", lambda *_, **__: {"s3": Refusing(s3)})
    failed = run_module(capsys, "emptied_bucket", name=BUCKET)
    assert failed["failed"] and "kept (version null): AccessDenied, locked until 2030" in failed["msg"]
