"""S3: a conditional write looks and writes in one step, as on AWS; moto lets another one in between.

And where versioning is suspended, the deletion of one version spares the others; moto removes them all.
"""

from __future__ import annotations

import threading
from typing import Any

from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

_writing = threading.RLock()


def install() -> None:
    put_object = S3Response.put_object

    def put_alone(self: S3Response, *arguments: Any, **kwargs: Any) -> Any:
        with _writing:
            return put_object(self, *arguments, **kwargs)

    S3Response.put_object = put_alone
    S3Backend.delete_object = deletion_of_one(S3Backend.delete_object)


def deletion_of_one(original: Any) -> Any:
    """As https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectVersions.html has it: moto does so while versioning is on."""

    def delete_object(self: S3Backend, bucket_name: str, key_name: str, version_id: str | None = None, bypass: bool = False) -> Any:
        bucket = self.get_bucket(bucket_name)
        before = getattr(bucket, "versioning_status", None)
        if version_id is None or before != "Suspended":
            return original(self, bucket_name, key_name, version_id, bypass)
        bucket.versioning_status = "Enabled"
        try:
            return original(self, bucket_name, key_name, version_id, bypass)
        finally:
            bucket.versioning_status = before

    return delete_object
