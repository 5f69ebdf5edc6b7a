"""What rehearsals of deploys ask the system again and again."""

from __future__ import annotations

import json

from tests.acceptance import app
from tests.acceptance.system import System


def pointer(system: System) -> str:
    """The current release."""
    return system.client("ssm").get_parameter(Name="/DjangoApp/release")["Parameter"]["Value"]


def served(system: System) -> dict[str, str]:
    """The release of each instance, as its own files say."""
    found = {}
    for instance in app.instance_ids(system):
        found[instance] = json.loads(app.output(system, instance, "sh", "-c", "cat /srv/*/current/release.json"))["version"]
    return found


def is_unlocked(system: System) -> bool:
    bucket = f"{system.prefix}-static-{system.account_id}"
    return "Contents" not in system.client("s3").list_objects_v2(Bucket=bucket, Prefix="releases/django-app/lock.json")
