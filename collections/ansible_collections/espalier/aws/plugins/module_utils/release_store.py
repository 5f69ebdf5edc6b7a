# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases in a bucket: what is there, what serves, what has been done.

Below the prefix, `<version>/release.tar.gz` and `<version>/manifest.json`, `log/<time>-<what>.json` and `lock.json`. The manifest is
written last: a release without one does not exist.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# AnsibleAWSModule says what is missing.
with contextlib.suppress(ImportError):
    from botocore.exceptions import ClientError

ARCHIVE, MANIFEST, LOCK, LOG = "release.tar.gz", "manifest.json", "lock.json", "log"
# Names of the store's own; S3's and SSM's letters, and a folder's name on an instance.
RESERVED = (LOG, LOCK)
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"
TIME = "%Y-%m-%dT%H:%M:%SZ"


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def now() -> str:
    return time.strftime(TIME, time.gmtime())


class Store:
    """The objects below one prefix of a bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix.strip("/")

    def key(self, *parts: str) -> str:
        return "/".join((self.prefix, *parts))

    def url(self, *parts: str) -> str:
        return f"s3://{self.bucket}/{self.key(*parts)}"

    def read(self, *parts: str) -> tuple[dict[str, Any] | None, str]:
        """A JSON object and its entity tag; None where there is none."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.key(*parts))
        except ClientError as error:
            # Without the right to list the bucket, what is not there is forbidden.
            if code_of(error) in ("NoSuchKey", "NoSuchBucket", "404", "AccessDenied"):
                return None, ""
            raise
        return json.loads(answer["Body"].read()), answer["ETag"]

    def write(self, content: Any, *parts: str, **condition: str) -> bool:
        """Write a JSON object, or a file opened for reading; false when the condition does not hold."""
        body = content if hasattr(content, "read") else (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
        try:
            self.client.put_object(Bucket=self.bucket, Key=self.key(*parts), Body=body, **condition)
        except ClientError as error:
            # 409: another writer is at it, at this very moment.
            if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                return False
            raise
        return True

    def delete(self, *parts: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.key(*parts))

    def keys(self, *parts: str) -> list[str]:
        """Keys below a folder of the prefix, without the prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key(*parts, ""))
        return [entry["Key"].removeprefix(f"{self.prefix}/") for page in pages for entry in page.get("Contents", [])]

    def _read_all(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(8) as pool:
            return [content for content, _ in pool.map(self.read, keys) if content]

    def releases(self) -> list[dict[str, Any]]:
        """Manifests of all releases, the newest first."""
        manifests = [key for key in self.keys() if key.count("/") == 1 and key.endswith(f"/{MANIFEST}")]
        return sorted(self._read_all(manifests), key=lambda manifest: manifest["made_at"], reverse=True)

    def log(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest records, the oldest of them first."""
        return self._read_all(sorted(self.keys(LOG))[-limit:])

    def record(self, entry: dict[str, Any]) -> None:
        """Add to the log. Names sort by time; nothing is ever written over."""
        stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.{time.time_ns() % 10**9:09d}Z"
        self.write(entry, LOG, f"{stamp}-{entry['what']}.json", IfNoneMatch="*")

    def remove(self, version: str) -> None:
        """The manifest first: what is half removed is no release."""
        for name in (MANIFEST, ARCHIVE):
            self.delete(version, name)


def good_releases(log: list[dict[str, Any]]) -> list[str]:
    """Releases that may be gone back to, in the order in which they came to serve; the last one serves.

    A release that was rolled back from is none of them, until it is deployed again.
    """
    good: list[str] = []
    for entry in log:
        if entry.get("result") != "succeeded":
            continue
        if entry["what"] == "rollback":
            if entry["to"] in good:
                good = good[: good.index(entry["to"])]
            good = [version for version in good if version != entry["from"]]
        good = [*(version for version in good if version != entry["to"]), entry["to"]]
    return good


def read_pointer(client: Any, name: str) -> str:
    """The version that the parameter names; empty where it does not exist."""
    try:
        return str(client.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if code_of(error) == "ParameterNotFound":
            return ""
        raise


def history(client: Any, name: str) -> list[str]:
    """Every value that the parameter has had, as far as AWS keeps them (100), the oldest first, without repetitions in a row."""
    try:
        pages = client.get_paginator("get_parameter_history").paginate(Name=name)
        entries = [entry for page in pages for entry in page["Parameters"]]
    except ClientError as error:
        if code_of(error) == "ParameterNotFound":
            return []
        raise
    values = [entry["Value"] for entry in sorted(entries, key=lambda entry: entry["Version"])]
    return [value for number, value in enumerate(values) if number == 0 or values[number - 1] != value]


def standing(current: str, values: list[str], log: list[dict[str, Any]], stored: Iterable[str]) -> dict[str, str]:
    """`current`, `previous` (what served before it) and `last_good` (what a rollback without an argument goes to), of those stored."""
    stored = set(stored)
    earlier = [version for version in values[:-1] if version != current]
    good = good_releases(log)
    before = good[: good.index(current)] if current in good else [version for version in good if version != current]
    return {
        "current": current,
        "previous": next((version for version in reversed(earlier) if version in stored), ""),
        "last_good": next((version for version in reversed(before) if version in stored), ""),
    }
