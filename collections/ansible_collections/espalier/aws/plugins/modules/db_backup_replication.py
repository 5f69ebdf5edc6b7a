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
      - Days that backups are kept there; read when a replication is started.
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
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def regions_of(database):
    """The fourth part of an ARN is its region."""
    found = database.get("DBInstanceAutomatedBackupsReplications") or []
    return {one["DBInstanceAutomatedBackupsArn"].split(":")[3] for one in found}


def start(module, database, region):
    rds = module.client("rds", retry_decorator=AWSRetry.jittered_backoff(), region=region)
    more = {}
    if database["StorageEncrypted"]:
        # RDS takes no alias. Of AWS's own keys KMS makes the one that the alias stands for.
        key = module.client("kms", retry_decorator=AWSRetry.jittered_backoff(), region=region)
        more["KmsKeyId"] = key.describe_key(KeyId=module.params["kms_key"], aws_retry=True)["KeyMetadata"]["Arn"]
    rds.start_db_instance_automated_backups_replication(
        SourceDBInstanceArn=database["DBInstanceArn"], BackupRetentionPeriod=module.params["retention_days"], aws_retry=True, **more
    )


def stop(module, database, region):
    rds = module.client("rds", retry_decorator=AWSRetry.jittered_backoff(), region=region)
    rds.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=database["DBInstanceArn"], aws_retry=True)


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
    identifier, wanted = module.params["identifier"], {module.params["destination"]} - {""}
    try:
        client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff())
        database = client.describe_db_instances(DBInstanceIdentifier=identifier, aws_retry=True)["DBInstances"][0]
        before = regions_of(database)
        for region in sorted(before - wanted) if not module.check_mode else []:
            stop(module, database, region)
        for region in sorted(wanted - before) if not module.check_mode else []:
            start(module, database, region)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to change where the backups of {identifier} are copied to")
    diff = {"before": {"regions": sorted(before)}, "after": {"regions": sorted(wanted)}}
    module.exit_json(changed=before != wanted, regions=sorted(wanted), diff=diff)


if __name__ == "__main__":
    main()
