#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lent_secret
version_added: 0.2.0
short_description: Lend a secret's value to somebody for a moment
description:
  - Copies the value of a secret into another one, which somebody may read who must not read the first one; and takes it away again.
  - The value is copied inside the module and never returned.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name of the copy.
    type: str
    required: true
  source:
    description:
      - Name or ARN of the secret that is lent. Required when O(state=present).
    type: str
  tags:
    description:
      - Tags of the copy.
    type: dict
    default: {}
  state:
    description:
      - V(absent) deletes the copy at once, with no recovery window.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Lend the master's credentials
  espalier.aws.lent_secret:
    name: django-app-db-credentials-setup
    source: django-db-credentials

- name: Take them back
  espalier.aws.lent_secret:
    name: django-app-db-credentials-setup
    state: absent
"""

RETURN = r"""
lent:
  description: Whether the copy exists now, or would in check mode.
  returned: always
  type: bool
  sample: true
"""

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    BotoCoreError = ClientError = Exception  # AnsibleAWSModule reports the missing library

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list


def exists(client, name):
    """Whether there is such a secret, its recovery window included."""
    try:
        client.describe_secret(SecretId=name, aws_retry=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
    return True


def lend(client, params):
    """A new copy: one that a run which was cut off has left may hold an older value."""
    value = client.get_secret_value(SecretId=params["source"], aws_retry=True)["SecretString"]
    if exists(client, params["name"]):
        client.put_secret_value(SecretId=params["name"], SecretString=value, aws_retry=True)
        return
    tags = ansible_dict_to_boto3_tag_list(params["tags"])
    client.create_secret(Name=params["name"], Description=f"{params['source']}, lent", SecretString=value, Tags=tags, aws_retry=True)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "source": {"type": "str"},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["source"])],
        supports_check_mode=True,
    )
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
    name, present = module.params["name"], module.params["state"] == "present"
    try:
        changed = present or exists(client, name)
        if present and not module.check_mode:
            lend(client, module.params)
        elif changed and not module.check_mode:
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True, aws_retry=True)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to lend or take back the secret {name}")
    module.exit_json(changed=changed, lent=present)


if __name__ == "__main__":
    main()
