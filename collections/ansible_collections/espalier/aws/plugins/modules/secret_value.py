#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_value
version_added: 0.1.0
short_description: Read a secret's value from AWS Secrets Manager
description:
  - For the rare case that another module must be given a secret. Set C(no_log) on the task, and on the one that uses the answer.
  - Unlike a lookup plugin it obeys the play's C(environment), so it asks the same account as every other module.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name or ARN of the secret.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Read the database's credentials
  espalier.aws.secret_value:
    name: django-db-credentials
  register: credentials
  no_log: true
"""

RETURN = r"""
value:
  description: The secret; an object where it is one in JSON, else a string.
  returned: success
  type: raw
"""

import json

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    BotoCoreError = ClientError = Exception  # AnsibleAWSModule reports the missing library

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def parse(text):
    try:
        content = json.loads(text)
    except ValueError:
        return text
    return content if isinstance(content, dict) else text


def main():
    module = AnsibleAWSModule(argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True)
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
    try:
        answer = client.get_secret_value(SecretId=module.params["name"], aws_retry=True)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to read the secret {module.params['name']}")
    module.exit_json(changed=False, value=parse(answer["SecretString"]))


if __name__ == "__main__":
    main()
