#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emptied_bucket
version_added: 0.2.0
short_description: Remove every version of every object of an S3 bucket
description:
  - Removes all objects, their older versions and their delete markers for good, so that the bucket can be deleted.
  - O(amazon.aws.s3_bucket#module:force) of M(amazon.aws.s3_bucket) leaves something behind where versioning was turned on or suspended
    after the first upload. What was stored without it has the version C(null), which only goes when it is named. See
    U(https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectVersions.html).
  - The caller needs the rights C(s3:ListBucketVersions) and C(s3:DeleteObjectVersion).
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the bucket. One that does not exist is empty.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Counts what would be removed.
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Remove everything in the bucket
  espalier.aws.emptied_bucket:
    name: staging-django-static-123456789012

- name: Remove the bucket
  amazon.aws.s3_bucket:
    name: staging-django-static-123456789012
    state: absent
"""

RETURN = r"""
removed:
  description: How many versions and delete markers were removed, or would be.
  returned: success
  type: int
  sample: 240
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients

# Of what could not be removed, so many are named.
NAMED = 5


class NotEmptied(Exception):
    pass


def pages(client, name):
    """Up to 1,000 versions at a time, as S3 lists them and as many as one call may delete."""
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
            found = page.get("Versions", []) + page.get("DeleteMarkers", [])
            if found:
                yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def remove(client, name, versions):
    errors = client.delete_objects(Bucket=name, Delete={"Objects": versions, "Quiet": True}).get("Errors", [])
    if errors:
        told = "; ".join(f"{one['Key']} (version {one.get('VersionId')}): {one['Code']}, {one.get('Message')}" for one in errors[:NAMED])
        raise NotEmptied(f"{len(errors)} versions in {name} cannot be removed: {told}")


def main():
    module = AnsibleAWSModule(argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True)
    name, removed = module.params["name"], 0
    try:
        client = make_clients(module, ["s3"], retries={"mode": "standard", "total_max_attempts": 8})["s3"]
        if module.check_mode:
            removed = sum(map(len, pages(client, name)))
        # The first page each time: a later one begins after a version that is gone by then.
        while not module.check_mode and (versions := next(pages(client, name), None)):
            remove(client, name, versions)
            removed += len(versions)
    except NotEmptied as error:
        module.fail_json(msg=str(error), removed=removed)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to empty the bucket {name}")
    module.exit_json(changed=removed > 0, removed=removed)


if __name__ == "__main__":
    main()
