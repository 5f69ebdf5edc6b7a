#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_snapshot_copy
version_added: 0.2.0
short_description: Copy a snapshot of a DB instance with another key
description:
  - Copies a manual snapshot of RDS and encrypts the copy, which is the only way from a database that is not encrypted to one that is.
  - M(amazon.aws.rds_instance_snapshot) copies snapshots with the key that they have.
author:
  - Contributors to the Espalier project
options:
  source:
    description:
      - Name of the snapshot.
    type: str
    required: true
  target:
    description:
      - Name of the copy. When there is one, nothing is done but to wait for it.
    type: str
    required: true
  kms_key:
    description:
      - KMS key of the copy, as ARN, id or alias.
    type: str
    default: alias/aws/rds
  tags:
    description:
      - Tags of the copy.
    type: dict
    default: {}
  wait_timeout:
    description:
      - Seconds to wait until the copy is available; hundreds of GiB take an hour.
    type: int
    default: 7200
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says whether a copy would be made.
"""

EXAMPLES = r"""
- name: Copy it, encrypted
  espalier.aws.db_snapshot_copy:
    source: production-django-postgres-plain
    target: production-django-postgres-encrypted
"""

RETURN = r"""
encrypted:
  description: Whether the copy is encrypted; false in a plan.
  returned: success
  type: bool
  sample: true
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list

POLL_SECONDS = 5
LOST = ("failed", "deleting", "deleted", "incompatible-restore", "incompatible-parameters")


class CopyError(Exception):
    """A copy that does not come; the message says why."""


def find(client, name):
    try:
        return client.describe_db_snapshots(DBSnapshotIdentifier=name, aws_retry=True)["DBSnapshots"][0]
    except is_boto3_error_code(["DBSnapshotNotFound", "DBSnapshotNotFoundFault"]):
        return None


def await_available(client, name, seconds):
    deadline = time.monotonic() + seconds
    while True:
        found = find(client, name)
        if found and found["Status"] == "available":
            return found
        if found is None or found["Status"] in LOST:
            raise CopyError(f"snapshot {name} is {found['Status'] if found else 'gone'}")
        if time.monotonic() >= deadline:
            done = f"{found.get('PercentProgress', 0)} %"
            raise CopyError(f"snapshot {name} is still {found['Status']} after {seconds} s ({done}). Run again to go on waiting.")
        time.sleep(POLL_SECONDS)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "kms_key": {"type": "str", "default": "alias/aws/rds"},
            "tags": {"type": "dict", "default": {}},
            "wait_timeout": {"type": "int", "default": 7200},
        },
        supports_check_mode=True,
    )
    params = module.params
    client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff())
    try:
        found = find(client, params["target"])
        changed = found is None
        if changed and not module.check_mode:
            client.copy_db_snapshot(
                SourceDBSnapshotIdentifier=params["source"],
                TargetDBSnapshotIdentifier=params["target"],
                KmsKeyId=params["kms_key"],
                Tags=ansible_dict_to_boto3_tag_list(params["tags"]),
                aws_retry=True,
            )
        if not module.check_mode:
            found = await_available(client, params["target"], params["wait_timeout"])
    except CopyError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to copy the snapshot {params['source']}")
    module.exit_json(changed=changed, encrypted=bool(found and found.get("Encrypted")))


if __name__ == "__main__":
    main()
