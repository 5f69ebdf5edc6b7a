#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rotated_secret
version_added: 0.2.0
short_description: Move a secret of database credentials to its other user
description:
  - For two database users who take turns. While one of them serves, the other one gets a new password; those who hold the old
    credentials are not disturbed.
  - A value is made inside the module and never returned.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name or ARN of a secret that holds C(username) and C(password) as JSON.
    type: str
    required: true
  users:
    description:
      - The two users.
    type: list
    elements: str
    required: true
  length:
    description:
      - Characters of the new password, out of 64 (6 bits each); letters, digits, C(-) and C(_).
    type: int
    default: 50
  state:
    description:
      - V(info) only tells whose turn it is.
      - V(pending) writes a new version with the label C(AWSPENDING), for the user whose turn it is not. Whoever reads the secret without
        naming a label goes on to read the current one. A pending version of before is given up.
      - V(current) makes the pending version the current one, and changes nothing where there is none.
    type: str
    choices: [info, pending, current]
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Give the user who rests a new password
  espalier.aws.rotated_secret:
    name: django-app-db-credentials
    users: [django_a, django_b]
    state: pending
"""

RETURN = r"""
username:
  description: The user of the current version.
  returned: always
  type: str
  sample: django_a
pending_username:
  description: The user of the pending version; empty where there is none.
  returned: always
  type: str
  sample: django_b
"""

import json

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    BotoCoreError = ClientError = Exception  # AnsibleAWSModule reports the missing library

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.secret_values import generate

PENDING = "AWSPENDING"
CURRENT = "AWSCURRENT"


class Wrong(Exception):
    """The secret is not what it should be; the message says how."""


def version_with(client, name, label):
    """User and id of the version that carries the label; an empty user where none does. Raises Wrong."""
    try:
        answer = client.get_secret_value(SecretId=name, VersionStage=label, aws_retry=True)
    except ClientError as error:
        if label == PENDING and error.response["Error"]["Code"] == "ResourceNotFoundException":
            return "", ""
        raise
    try:
        return str(json.loads(answer["SecretString"])["username"]), answer["VersionId"]
    except (ValueError, KeyError, TypeError):
        # The cause would show the secret.
        raise Wrong(f"The secret {name} is no JSON object with username and password.") from None


def other(users, username):
    """The user whose turn comes. Raises Wrong."""
    if len(set(users)) != 2 or username not in users:
        raise Wrong(f"The secret's user is {username}, and the two who take turns are {', '.join(users)}.")
    return next(user for user in users if user != username)


def rotate(client, params, check_mode):
    """Returns whether something was changed, or would be, and both users."""
    name = params["name"]
    username, current = version_with(client, name, CURRENT)
    waiting, pending = version_with(client, name, PENDING)
    # AWS leaves the label on a version that has become the current one.
    waiting, pending = ("", "") if pending == current else (waiting, pending)
    if params["state"] == "pending":
        waiting = other(params["users"], username)
        if not check_mode:
            value = generate(params["length"], waiting)
            client.put_secret_value(SecretId=name, SecretString=value, VersionStages=[PENDING], aws_retry=True)
        return True, username, waiting
    if params["state"] == "current" and pending:
        if not check_mode:
            move = {"VersionStage": CURRENT, "MoveToVersionId": pending, "RemoveFromVersionId": current}
            client.update_secret_version_stage(SecretId=name, **move, aws_retry=True)
            client.update_secret_version_stage(SecretId=name, VersionStage=PENDING, RemoveFromVersionId=pending, aws_retry=True)
        return True, waiting, ""
    return False, username, waiting


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "users": {"type": "list", "elements": "str", "required": True},
            "length": {"type": "int", "default": 50, "no_log": False},
            "state": {"type": "str", "choices": ["info", "pending", "current"], "required": True},
        },
        supports_check_mode=True,
    )
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
    try:
        changed, username, waiting = rotate(client, module.params, module.check_mode)
    except Wrong as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to rotate the secret {module.params['name']}")
    module.exit_json(changed=changed, username=username, pending_username=waiting)


if __name__ == "__main__":
    main()
