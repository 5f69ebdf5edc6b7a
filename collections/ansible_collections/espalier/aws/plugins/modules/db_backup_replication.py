#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_backup_replication
version_added: 0.2.0
short_description: Copy the automatic backups of a DB instance to a second region
description:
  - Starts or stops the replication of automatic backups of RDS (snapshots and transaction logs), so that the database can be restored to a
    point in time when its own region is lost.
  - One other region at most; a replication to another one is stopped. What was copied there stays until it is as old as it was to be kept.
  - RDS has no call that changes how long backups are kept there. A replication that keeps them otherwise is stopped and started anew.
author:
  - Contributors to the Espalier project
options:
  identifier:
    description:
      - The DB instance.
    type: str
    required: true
  destination:
    description:
      - The second region; empty for none.
    type: str
    default: ""
  retention_days:
    description:
      - Days that backups are kept there.
    type: int
    default: 7
  kms_key:
    description:
      - KMS key of the second region for the backups of an encrypted database, as ARN, id or alias.
    type: str
    default: alias/aws/rds
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would change.
"""

EXAMPLES = r"""
- name: Copy backups to Oregon
  espalier.aws.db_backup_replication:
    identifier: production-django-postgres
    destination: us-west-2
"""

RETURN = r"""
regions:
  description: Regions that backups are copied to afterwards; one or none.
  returned: success
  type: list
  elements: str
  sample: [us-west-2]
retention_days:
  description: Days that backups are kept there afterwards; 0 without a region.
  returned: success
  type: int
  sample: 7
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

# An instance has one replication at most, and is busy while that ends.
BUSY = ["InvalidDBInstanceState", "InvalidDBInstanceStateFault"]
STOP_SECONDS = 1800
POLL_SECONDS = 5


class StopError(Exception):
    """A replication that does not end; the message says which."""


def rds_of(module, region, **retry):
    return module.client("rds", retry_decorator=AWSRetry.jittered_backoff(**retry), region=region)


def find(client, identifier):
    return client.describe_db_instances(DBInstanceIdentifier=identifier, aws_retry=True)["DBInstances"][0]


def copies_of(database):
    """The replications' ARNs by their region, which is an ARN's fourth part."""
    found = database.get("DBInstanceAutomatedBackupsReplications") or []
    return {one["DBInstanceAutomatedBackupsArn"].split(":")[3]: one["DBInstanceAutomatedBackupsArn"] for one in found}


def retention(module, region, arn):
    """Days that a replication keeps backups; only its own region knows."""
    try:
        found = rds_of(module, region).describe_db_instance_automated_backups(DBInstanceAutomatedBackupsArn=arn, aws_retry=True)
    except is_boto3_error_code(["DBInstanceAutomatedBackupNotFound", "DBInstanceAutomatedBackupNotFoundFault"]):
        return None
    return next((one["BackupRetentionPeriod"] for one in found["DBInstanceAutomatedBackups"]), None)


def start(module, database, region, **retry):
    more = {}
    if database["StorageEncrypted"]:
        # RDS takes no alias. Of AWS's own keys KMS makes the one that the alias stands for.
        key = module.client("kms", retry_decorator=AWSRetry.jittered_backoff(), region=region)
        more["KmsKeyId"] = key.describe_key(KeyId=module.params["kms_key"], aws_retry=True)["KeyMetadata"]["Arn"]
    rds_of(module, region, **retry).start_db_instance_automated_backups_replication(
        SourceDBInstanceArn=database["DBInstanceArn"], BackupRetentionPeriod=module.params["retention_days"], aws_retry=True, **more
    )


def stop(module, database, region):
    rds_of(module, region).stop_db_instance_automated_backups_replication(SourceDBInstanceArn=database["DBInstanceArn"], aws_retry=True)


def await_stopped(client, identifier, regions):
    deadline = time.monotonic() + STOP_SECONDS
    while left := sorted(regions & copies_of(find(client, identifier)).keys()):
        if time.monotonic() > deadline:
            raise StopError(f"The backups of {identifier} are still copied to {left[0]}. Run again to go on.")
        time.sleep(POLL_SECONDS)


def change(module, client, database, wrong, missing):
    for region in sorted(wrong):
        stop(module, database, region)
    if wrong and missing:
        await_stopped(client, module.params["identifier"], wrong)
    for region in sorted(missing):
        start(module, database, region, **({"catch_extra_error_codes": BUSY} if wrong else {}))


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "identifier": {"type": "str", "required": True},
            "destination": {"type": "str", "default": ""},
            "retention_days": {"type": "int", "default": 7},
            "kms_key": {"type": "str", "default": "alias/aws/rds"},
        },
        supports_check_mode=True,
    )
    identifier, wanted, days = module.params["identifier"], {module.params["destination"]} - {""}, module.params["retention_days"]
    try:
        client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff())
        database = find(client, identifier)
        before = copies_of(database)
        kept = {region: retention(module, region, before[region]) for region in wanted & before.keys()}
        # Unknown for as long as a new one has no first backup.
        right = {region for region, found in kept.items() if found in (days, None)}
        if not module.check_mode:
            change(module, client, database, before.keys() - right, wanted - right)
    except StopError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to change where the backups of {identifier} are copied to")
    diff = {
        "before": {"regions": sorted(before), "retention_days": next((found for found in kept.values() if found), 0)},
        "after": {"regions": sorted(wanted), "retention_days": days if wanted else 0},
    }
    module.exit_json(changed=not before.keys() == right == wanted, regions=sorted(wanted), retention_days=days if wanted else 0, diff=diff)


if __name__ == "__main__":
    main()
