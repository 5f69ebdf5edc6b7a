#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_variables
version_added: 0.3.0
short_description: Read environment variables out of secrets of AWS Secrets Manager
description:
  - For what cannot read its secrets itself. Set C(no_log) on the task, and on the one that uses the answer.
  - An error names secrets and keys, never values. Since C(no_log) hides it, let the task pass (C(failed_when=false)) and fail with its
    C(msg) in the next one.
author:
  - The Espalier authors
options:
  variables:
    description:
      - The secret that holds each variable's value, or V(secret#key) for one key of a secret that is a JSON object.
    type: dict
    required: true
  database:
    description:
      - C(host), C(port), C(name) and C(sslmode) of a PostgreSQL database, for a variable C(DATABASE_URL) with the variables C(RDS_USERNAME)
        and C(RDS_PASSWORD) in it.
    type: dict
    default: {}
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
- name: Read what the application must not show
  espalier.aws.secret_variables:
    variables:
      DJANGO_SECRET_KEY: django-secret-key
      RDS_PASSWORD: django-db-credentials#password
  register: secrets
  no_log: true
"""

RETURN = r"""
variables:
  description: The variables.
  returned: success
  type: dict
data:
  description: The same, in base64, as a Secret of Kubernetes has it.
  returned: success
  type: dict
revision:
  description: Another one when another version of a secret is current, or other variables are asked for. Says nothing about the values.
  returned: success
  type: str
"""

import base64
import contextlib
import hashlib
import json
from urllib.parse import quote

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


class WrongSecret(Exception):
    """The message names the secret, never its value."""


def value_of(order, secrets):
    name, _, key = order.partition("#")
    text = secrets[name]["SecretString"]
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        # The cause would show the secret.
        raise WrongSecret(f"secret {name} is no JSON object with the key {key}") from None


def database_url(variables, database):
    login = ":".join(quote(variables[name], safe="") for name in ("RDS_USERNAME", "RDS_PASSWORD"))
    where = f"{database['host']}:{database['port']}/{quote(database['name'], safe='')}"
    return f"postgresql://{login}@{where}?sslmode={database['sslmode']}"


def collect(orders, database, read):
    """Variables, and a word for their revision. `read` asks for one secret."""
    secrets = {name: read(name) for name in sorted({order.partition("#")[0] for order in orders.values()})}
    variables = {variable: value_of(order, secrets) for variable, order in orders.items()}
    if database:
        variables["DATABASE_URL"] = database_url(variables, database)
    shape = [sorted(orders.items()), sorted(database.items()), [(name, secret["VersionId"]) for name, secret in secrets.items()]]
    return variables, hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:12]


def main():
    module = AnsibleAWSModule(
        argument_spec={"variables": {"type": "dict", "required": True}, "database": {"type": "dict", "default": {}}},
        supports_check_mode=True,
    )
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())

    def read(name):
        try:
            return client.get_secret_value(SecretId=name, aws_retry=True)
        except (BotoCoreError, ClientError) as error:
            raise WrongSecret(f"cannot read secret {name}: {error}") from None

    try:
        variables, revision = collect(module.params["variables"], module.params["database"], read)
    except WrongSecret as error:
        module.fail_json(msg=str(error))
    data = {name: base64.b64encode(value.encode()).decode() for name, value in variables.items()}
    module.exit_json(changed=False, variables=variables, data=data, revision=revision)


if __name__ == "__main__":
    main()
