#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bucket_drift
version_added: 0.2.0
short_description: Say in which settings an S3 bucket differs from what is wanted
description:
  - Compares the settings of a bucket with those that are wanted, and changes nothing. It is the plan of M(amazon.aws.s3_bucket) and
    M(community.aws.s3_lifecycle), which have no check mode.
  - A setting that is left out is not compared.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the bucket. One that does not exist differs in everything.
    type: str
    required: true
  private:
    description:
      - Whether all four blocks of public access are on.
    type: bool
  object_ownership:
    description:
      - Who owns the objects.
    type: str
    choices: [BucketOwnerEnforced, BucketOwnerPreferred, ObjectWriter]
  encryption:
    description:
      - Algorithm of the encryption at rest, C(AES256) or C(aws:kms).
    type: str
  versioning:
    description:
      - Whether versions are kept. V(false) is the same for a bucket that never kept any and for one where it is suspended.
    type: bool
  policy:
    description:
      - The bucket's policy; empty for none.
    type: dict
  tags:
    description:
      - All of the bucket's tags.
    type: dict
  lifecycle:
    description:
      - Lifecycle rules, with the options of M(community.aws.s3_lifecycle). Rules of other names are not compared.
    type: list
    elements: dict
    suboptions:
      rule_id:
        description: [Name of the rule.]
        type: str
        required: true
      state:
        description: [Whether there is such a rule.]
        type: str
        choices: [present, absent]
        default: present
      prefix:
        description: [Beginning of the names that it is about.]
        type: str
        default: ""
      expiration_days:
        description: [Days after which an object goes.]
        type: int
      expire_object_delete_marker:
        description: [Whether the mark of a deleted object goes when no version of it is left.]
        type: bool
      noncurrent_version_expiration_days:
        description: [Days after which an older version goes.]
        type: int
      abort_incomplete_multipart_upload_days:
        description: [Days after which the parts of an upload that never ended go.]
        type: int
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Reads only. It reports a change where M(amazon.aws.s3_bucket) would make one.
  diff_mode:
    support: full
    description: Shows the settings that differ.
"""

EXAMPLES = r"""
- name: Say what would change in the bucket
  espalier.aws.bucket_drift:
    name: staging-django-static-123456789012
    private: true
    object_ownership: BucketOwnerEnforced
    encryption: AES256
    lifecycle:
      - {rule_id: logs, prefix: logs/, expiration_days: 90}
  when: ansible_check_mode
"""

RETURN = r"""
differences:
  description: The settings that differ, with what is found and what is wanted.
  returned: success
  type: dict
  sample: {private: {found: false, wanted: true}}
"""

import contextlib
import json

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict

RULE_SPEC = {
    "rule_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "prefix": {"type": "str", "default": ""},
    "expiration_days": {"type": "int"},
    "expire_object_delete_marker": {"type": "bool"},
    "noncurrent_version_expiration_days": {"type": "int"},
    "abort_incomplete_multipart_upload_days": {"type": "int"},
}
SPEC = {
    "name": {"type": "str", "required": True},
    "private": {"type": "bool"},
    "object_ownership": {"type": "str", "choices": ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]},
    "encryption": {"type": "str"},
    "versioning": {"type": "bool"},
    "policy": {"type": "dict"},
    "tags": {"type": "dict"},
    "lifecycle": {"type": "list", "elements": "dict", "options": RULE_SPEC},
}
PUBLIC_ACCESS_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
# What S3 answers where a setting was never made, or its bucket.
NOTHING = {
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
}


class Bucket:
    """The settings as they are, in the words of this module's options."""

    def __init__(self, client, name):
        self.client, self.name = client, name

    def get(self, operation, key, default):
        try:
            return getattr(self.client, f"get_bucket_{operation}")(Bucket=self.name, aws_retry=True).get(key, default)
        except ClientError as error:
            if error.response["Error"]["Code"] in NOTHING:
                return default
            raise

    def private(self):
        try:
            blocks = self.client.get_public_access_block(Bucket=self.name, aws_retry=True)["PublicAccessBlockConfiguration"]
        except ClientError as error:
            if error.response["Error"]["Code"] in NOTHING:
                return False
            raise
        return all(blocks.get(block) for block in PUBLIC_ACCESS_BLOCKS)

    def object_ownership(self):
        rules = self.get("ownership_controls", "OwnershipControls", {}).get("Rules", [])
        return rules[0]["ObjectOwnership"] if rules else None

    def encryption(self):
        rules = self.get("encryption", "ServerSideEncryptionConfiguration", {}).get("Rules", [])
        return rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") if rules else None

    def versioning(self):
        return self.get("versioning", "Status", "") == "Enabled"

    def policy(self):
        return json.loads(self.get("policy", "Policy", "{}"))

    def tags(self):
        return boto3_tag_list_to_ansible_dict(self.get("tagging", "TagSet", []))

    def lifecycle(self):
        return {rule["ID"]: rule for rule in self.get("lifecycle_configuration", "Rules", []) if "ID" in rule}


def plain(rule):
    """A rule of S3 in the words of the options."""
    return {
        "prefix": rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")),
        "enabled": rule.get("Status") == "Enabled",
        "expiration_days": rule.get("Expiration", {}).get("Days"),
        "expire_object_delete_marker": rule.get("Expiration", {}).get("ExpiredObjectDeleteMarker"),
        "noncurrent_version_expiration_days": rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        "abort_incomplete_multipart_upload_days": rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
    }


def lifecycle_differences(found, rules):
    """By `lifecycle <rule>`: what is found and wanted, each null where there is no rule."""
    differences = {}
    for rule in rules:
        name = rule["rule_id"]
        is_there = plain(found[name]) if name in found else None
        shall_be = None
        if rule["state"] == "present":
            shall_be = {"enabled": True, **{key: value for key, value in rule.items() if key not in ("rule_id", "state")}}
        if is_there != shall_be:
            differences[f"lifecycle {name}"] = {"found": is_there, "wanted": shall_be}
    return differences


def compare(bucket, params):
    """The differences by setting."""
    differences = {}
    for setting in ("private", "object_ownership", "encryption", "versioning", "policy", "tags"):
        want = params[setting]
        if want is None:
            continue
        found = getattr(bucket, setting)()
        same = not compare_policies(found, want) if setting == "policy" and found and want else found == want
        if not same:
            differences[setting] = {"found": found, "wanted": want}
    return differences | lifecycle_differences(bucket.lifecycle() if params["lifecycle"] else {}, params["lifecycle"] or [])


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff())
    try:
        differences = compare(Bucket(client, module.params["name"]), module.params)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to read the settings of bucket {module.params['name']}")
    diff = {side: {name: entry[key] for name, entry in differences.items()} for side, key in (("before", "found"), ("after", "wanted"))}
    module.exit_json(changed=bool(differences), differences=differences, diff=diff)


if __name__ == "__main__":
    main()
