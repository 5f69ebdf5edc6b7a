# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of EKS share: looking something up, waiting for it, tags, and what is so new that EKS does not know it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from typing import Any

# AnsibleAWSModule says what is missing.
with contextlib.suppress(ImportError):
    from botocore.exceptions import ClientError

# Seconds between two looks: the first ones come quickly, a control plane takes its ten minutes.
FIRST_PAUSE, LONGEST_PAUSE = 1, 15
# IAM needs some seconds to tell EKS of a new role; a new key's tags may need five minutes until rights that go by them count.
ROLE_SECONDS, KEY_SECONDS = 60, 330

Found = dict[str, Any]


class EksError(Exception):
    """Something that the operator has to know; the message says it."""


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def read(call: Callable[..., Found], key: str, **arguments: Any) -> Found | None:
    """What a Describe call answers, or None where there is no such thing (or no such cluster)."""
    try:
        found: Found = call(**arguments)[key]
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise
    return found


def issues(found: Found | None) -> str:
    """What EKS itself says is wrong with it."""
    return " ".join(f"{issue['code']}: {issue['message']}" for issue in ((found or {}).get("health") or {}).get("issues") or [])


def await_status(
    look: Callable[[], Found | None], good: Collection[str | None], bad: Collection[str | None], seconds: float, what: str
) -> Found | None:
    """Look until the status is a good one; None is the status of what is gone. Raises EksError for a bad one and after `seconds`."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        found = look()
        status = found["status"] if found else None
        if status in good:
            return found
        if status in bad:
            raise EksError(f"{what} is {status or 'gone'}. {issues(found)}".strip())
        if time.monotonic() > deadline:
            reason = f" {issues(found)}".rstrip()
            raise EksError(f"{what} is still {status} after {seconds:.0f} s.{reason} Run again to go on waiting.")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def await_update(client: Any, seconds: float, what: str, update: Found, **of: str) -> None:
    """EKS takes one change at a time, and refuses the next until this one is through."""

    def look() -> Found:
        answer: Found = client.describe_update(updateId=update["id"], aws_retry=True, **of)["update"]
        return answer

    ended = await_status(look, ("Successful", "Failed", "Cancelled"), (), seconds, what)
    if ended and ended["status"] != "Successful":
        reasons = " ".join(f"{error['errorCode']}: {error['errorMessage']}" for error in ended.get("errors") or [])
        raise EksError(f"{what} has {ended['status'].lower()}. {reasons}".strip())


def patience(error: ClientError) -> int:
    """For how many seconds after the first try it may be because of something new."""
    text = str(error).lower()
    # "User not authorized to perform kms:CreateGrant operation", "Access denied to KMS key"
    if "kms" in text and ("not authorized" in text or "access denied" in text):
        return KEY_SECONDS
    return ROLE_SECONDS if code_of(error) == "InvalidParameterException" and "role" in text else 0


def with_new(call: Callable[..., Found], **arguments: Any) -> Found:
    """A call that names a role or a key which may have been made a moment ago."""
    start = time.monotonic()
    while True:
        try:
            return call(**arguments)
        except ClientError as error:
            if time.monotonic() - start >= patience(error):
                raise
        time.sleep(5)


def retag(client: Any, arn: str, before: dict[str, str], after: dict[str, str]) -> None:
    """EKS's own tags (aws:...) are nobody's business."""
    surplus = [key for key in before if key not in after and not key.startswith("aws:")]
    missing = {key: value for key, value in after.items() if before.get(key) != value}
    if surplus:
        client.untag_resource(resourceArn=arn, tagKeys=surplus, aws_retry=True)
    if missing:
        client.tag_resource(resourceArn=arn, tags=missing, aws_retry=True)


def own_tags(found: Found) -> dict[str, str]:
    return {key: value for key, value in (found.get("tags") or {}).items() if not key.startswith("aws:")}


def version_of(text: str) -> tuple[int, int]:
    """1.35 as numbers, to be compared."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)
