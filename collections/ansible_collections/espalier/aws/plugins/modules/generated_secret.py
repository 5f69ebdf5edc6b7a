#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: generated_secret
version_added: 0.1.0
short_description: Ensure a secret whose value nobody has seen
description:
  - Makes a random value and puts it straight into AWS Secrets Manager. The value is never returned, printed or written to a file.
  - A secret that exists keeps its value, always. One that is scheduled for deletion is restored with its value.
  - A secret that carries other values of the tags C(Project) and C(Environment), or none, belongs to somebody else and is refused.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name of the secret.
    type: str
    required: true
  description:
    description:
      - What the secret is for.
    type: str
    default: ""
  username:
    description:
      - With it the value is a JSON object of C(username) and the generated C(password), as AWS keeps database credentials.
      - Without it the value is the generated string alone.
    type: str
  length:
    description:
      - Characters of the generated string, out of 64 (6 bits each); letters, digits, C(-) and C(_).
      - RDS takes at most 128 for PostgreSQL, and none of C(/), C(@), C(") and space.
    type: int
    default: 50
  tags:
    description:
      - Tags of the secret; others are removed. Must hold C(Project) and C(Environment), which say whose it is.
    type: dict
    required: true
  state:
    description:
      - V(absent) schedules the deletion, during whose recovery window V(present) restores the secret.
    type: str
    choices: [present, absent]
    default: present
  recovery_window_days:
    description:
      - Days between the order and the deletion, 7 to 30. The name stays taken until then.
    type: int
    default: 30
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Ensure the database's credentials
  espalier.aws.generated_secret:
    name: django-db-credentials
    username: postgres
    tags: {Project: django, Environment: staging}
"""

RETURN = r"""
arn:
  description: ARN of the secret; empty where it does not exist.
  returned: always
  type: str
  sample: arn:aws:secretsmanager:us-east-1:123456789012:secret:django-db-credentials-AbCdEf
actions:
  description: What was done, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [restored]
"""

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    BotoCoreError = ClientError = Exception  # AnsibleAWSModule reports the missing library

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    compare_aws_tags,
)
from ansible_collections.espalier.aws.plugins.module_utils.secret_values import generate

OWNER_TAGS = ("Project", "Environment")


def owner_of(tags):
    return {key: tags.get(key) for key in OWNER_TAGS}


def describe(client, name):
    """The secret's metadata, or None. Answers for secrets in their recovery window too."""
    try:
        return client.describe_secret(SecretId=name, aws_retry=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise


def plan_present(found, params):
    """The calls to make, as (what it does, client method, arguments). A value appears only where a secret is created."""
    if found is None:
        tags = ansible_dict_to_boto3_tag_list(params["tags"])
        value = generate(params["length"], params["username"])
        return [
            (
                "created",
                "create_secret",
                {"Name": params["name"], "Description": params["description"], "Tags": tags, "SecretString": value},
            )
        ]
    calls = []
    secret = {"SecretId": found["ARN"]}
    if found.get("DeletedDate"):
        calls.append(("restored", "restore_secret", secret))
    if found.get("Description", "") != params["description"]:
        calls.append(("described", "update_secret", {**secret, "Description": params["description"]}))
    missing, surplus = compare_aws_tags(boto3_tag_list_to_ansible_dict(found.get("Tags") or []), params["tags"])
    if missing:
        calls.append(("tagged", "tag_resource", {**secret, "Tags": ansible_dict_to_boto3_tag_list(missing)}))
    if surplus:
        calls.append(("untagged", "untag_resource", {**secret, "TagKeys": surplus}))
    return calls


def plan_absent(found, params):
    if found is None or found.get("DeletedDate"):
        return []
    window = {"RecoveryWindowInDays": params["recovery_window_days"]}
    return [("scheduled for deletion", "delete_secret", {"SecretId": found["ARN"], **window})]


def refuse_foreign(module, found):
    """A neighbour's secret is neither adopted nor deleted."""
    owner, ours = owner_of(boto3_tag_list_to_ansible_dict(found.get("Tags") or [])), owner_of(module.params["tags"])
    if owner == ours:
        return
    if module.params["state"] == "absent":
        module.warn(f"{found['Name']} is left alone: its tags {owner} are not {ours}.")
        module.exit_json(changed=False, arn="", actions=[])
    module.fail_json(
        msg=f"The secret {found['Name']} exists with the tags {owner}, and this environment's are {ours}. "
        "Give this environment a name of its own, or hand the secret over by setting its tags."
    )


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "default": ""},
            "username": {"type": "str"},
            "length": {"type": "int", "default": 50},
            "tags": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "recovery_window_days": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
    try:
        found = describe(client, module.params["name"])
        if found:
            refuse_foreign(module, found)
        calls = (plan_present if module.params["state"] == "present" else plan_absent)(found, module.params)
        arn = found["ARN"] if found else ""
        for _action, method, arguments in [] if module.check_mode else calls:
            arn = getattr(client, method)(**arguments, aws_retry=True).get("ARN", arn)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to ensure the secret {module.params['name']}")
    module.exit_json(changed=bool(calls), arn=arn, actions=[action for action, _method, _arguments in calls])


if __name__ == "__main__":
    main()
