#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_repository
version_added: 0.3.0
short_description: Manage a repository of container images
description:
  - Manages a private repository of Amazon ECR with its tags. M(community.aws.ecs_ecr) knows no tags, without which nobody can tell whose a
    repository is.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name of the repository.
    type: str
    required: true
  state:
    description:
      - Whether it exists.
    type: str
    choices: [present, absent]
    default: present
  immutable_tags:
    description:
      - Refuse to push another image under a tag that is taken.
    type: bool
    default: true
  scan_on_push:
    description:
      - Look for known vulnerabilities in what is pushed.
    type: bool
    default: true
  keep_images:
    description:
      - Images that are kept, the newest. 0 keeps all.
    type: int
    default: 30
  kms_key_arn:
    description:
      - KMS key that images are encrypted with. Empty for S3's own encryption. Counts at creation only.
    type: str
    default: ""
  force:
    description:
      - Remove the repository with the images in it.
    type: bool
    default: false
  tags:
    description:
      - Tags of the repository; others are removed.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would be made or changed.
  diff_mode:
    support: full
    description: Shows the settings before and after.
"""

EXAMPLES = r"""
- name: Ensure the repository of the application's images
  espalier.aws.ecr_repository:
    name: staging-django-app

- name: Remove it with all images
  espalier.aws.ecr_repository:
    name: staging-django-app
    state: absent
    force: true
"""

RETURN = r"""
repository:
  description: Name, ARN and URI; null where there is none.
  returned: success
  type: dict
  sample:
    name: staging-django-app
    arn: arn:aws:ecr:us-east-1:123456789012:repository/staging-django-app
    uri: 123456789012.dkr.ecr.us-east-1.amazonaws.com/staging-django-app
"""

import contextlib
import json

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.stack import unless_missing


def wanted(params):
    """The settings, as they are compared."""
    return {
        "immutable_tags": params["immutable_tags"],
        "scan_on_push": params["scan_on_push"],
        "lifecycle": lifecycle(params["keep_images"]),
        "tags": params["tags"],
    }


def lifecycle(keep):
    if not keep:
        return {}
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep}
    return {"rules": [{"rulePriority": 1, "description": f"Keep {keep}", "selection": selection, "action": {"type": "expire"}}]}


def look(client, name):
    found = unless_missing(["RepositoryNotFoundException"], client.describe_repositories, repositoryNames=[name], aws_retry=True)
    return found["repositories"][0] if found else None


def actual(client, found):
    """The same of a repository that is there."""
    policy = unless_missing(
        ["LifecyclePolicyNotFoundException"], client.get_lifecycle_policy, repositoryName=found["repositoryName"], aws_retry=True
    )
    tags = client.list_tags_for_resource(resourceArn=found["repositoryArn"], aws_retry=True)["tags"]
    return {
        "immutable_tags": found["imageTagMutability"] == "IMMUTABLE",
        "scan_on_push": found["imageScanningConfiguration"]["scanOnPush"],
        "lifecycle": json.loads(policy["lifecyclePolicyText"]) if policy else {},
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
    }


def create(client, params):
    """An empty repository; its lifecycle policy is put by `change`."""
    encryption = {"encryptionType": "KMS", "kmsKey": params["kms_key_arn"]} if params["kms_key_arn"] else {"encryptionType": "AES256"}
    return client.create_repository(
        repositoryName=params["name"],
        imageTagMutability="IMMUTABLE" if params["immutable_tags"] else "MUTABLE",
        imageScanningConfiguration={"scanOnPush": params["scan_on_push"]},
        encryptionConfiguration=encryption,
        tags=[{"Key": key, "Value": value} for key, value in params["tags"].items()],
        aws_retry=True,
    )["repository"]


def change(client, found, before, after):
    name, arn = found["repositoryName"], found["repositoryArn"]
    if before["immutable_tags"] != after["immutable_tags"]:
        mutability = "IMMUTABLE" if after["immutable_tags"] else "MUTABLE"
        client.put_image_tag_mutability(repositoryName=name, imageTagMutability=mutability, aws_retry=True)
    if before["scan_on_push"] != after["scan_on_push"]:
        scanning = {"scanOnPush": after["scan_on_push"]}
        client.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration=scanning, aws_retry=True)
    if before["lifecycle"] != after["lifecycle"]:
        if after["lifecycle"]:
            client.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps(after["lifecycle"]), aws_retry=True)
        else:
            client.delete_lifecycle_policy(repositoryName=name, aws_retry=True)
    surplus = sorted(set(before["tags"]) - set(after["tags"]))
    if surplus:
        client.untag_resource(resourceArn=arn, tagKeys=surplus, aws_retry=True)
    missing = [{"Key": key, "Value": value} for key, value in after["tags"].items() if before["tags"].get(key) != value]
    if missing:
        client.tag_resource(resourceArn=arn, tags=missing, aws_retry=True)


def manage(client, params, check_mode):
    """Everything: the repository or None, before, after."""
    found = look(client, params["name"])
    before = actual(client, found) if found else {}
    after = wanted(params) if params["state"] == "present" else {}
    if before == after or check_mode:
        return found, before, after
    if not after:
        client.delete_repository(repositoryName=params["name"], force=params["force"], aws_retry=True)
        return None, before, after
    if found is None:
        found = create(client, params)
    change(client, found, before or {**after, "lifecycle": {}}, after)
    return found, before, after


SPEC = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "immutable_tags": {"type": "bool", "default": True},
    "scan_on_push": {"type": "bool", "default": True},
    "keep_images": {"type": "int", "default": 30},
    "kms_key_arn": {"type": "str", "default": ""},
    "force": {"type": "bool", "default": False},
    "tags": {"type": "dict", "default": {}},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    try:
        found, before, after = manage(client, module.params, module.check_mode)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the repository {module.params['name']}")
    repository = found and {"name": found["repositoryName"], "arn": found["repositoryArn"], "uri": found["repositoryUri"]}
    module.exit_json(changed=before != after, repository=repository, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
