#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: sweep
short_description: List everything in an account that belongs to one environment, service by service
version_added: 0.1.0
description:
  - Looks in every service that the suite uses for what carries the environment's tags or bears its names, in any state and number.
  - Tells what would have to go from what stays on purpose, that is, snapshots of a database, copies of its backups elsewhere, and secrets
    in their recovery window.
  - Changes nothing. Run before a removal it is the preview; run after, it lists the left-overs.
options:
  project:
    description: Value of the tag C(Project).
    type: str
    required: true
  environment:
    description: Value of the tag C(Environment).
    type: str
    required: true
  backup_region:
    description: A second region that the database's automatic backups were copied to; empty for none.
    type: str
    default: ""
author:
  - The Espalier authors
attributes:
  check_mode:
    description: Reads only.
    support: full
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look for left-overs
  espalier.aws.sweep:
    project: django
    environment: staging
  register: sweep
  until: sweep.leftovers | length == 0
  retries: 6
  delay: 10
"""

RETURN = r"""
leftovers:
  description: What has to go.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: What it is, in AWS's words.
      type: str
      sample: security group
    id:
      description: Its id, ARN or name, whichever AWS finds it by.
      type: str
      sample: sg-0a1
    name:
      description: Its name or description, where that is something else; empty otherwise.
      type: str
    state:
      description: Its state in AWS's words, empty where it has none.
      type: str
    stays:
      description: Why it stays on purpose; empty for what has to go.
      type: str
    until:
      description: When AWS removes it by itself (ISO 8601); empty where it does not.
      type: str
    protected:
      description: AWS refuses its deletion until its protection is turned off.
      type: bool
kept:
  description: What stays on purpose, with the same keys.
  returned: always
  type: list
  elements: dict
leftovers_text:
  description: One line for each of RV(leftovers).
  returned: always
  type: list
  elements: str
  sample: ["security group sg-0a1 (lab-django-app)"]
kept_text:
  description: One line for each of RV(kept).
  returned: always
  type: list
  elements: str
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

# AnsibleAWSModule says what is missing.
with contextlib.suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import remains
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.stack import Scope

THREADS = 8


def look(clients: dict, scope: Scope) -> list[remains.Remain]:
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        # The generators do their asking when they are consumed, so that has to happen in the threads.
        answers = [pool.submit(lambda one=reader: list(one(clients.__getitem__, scope))) for reader in remains.READERS]
        return [found for answer in answers for found in answer.result()]


def line(found: remains.Remain) -> str:
    details = ", ".join(
        part
        for part in (found.name, found.state, "protected" * found.protected, found.stays, found.until and f"until {found.until}")
        if part
    )
    return f"{found.kind} {found.id}" + (f" ({details})" if details else "")


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "environment": {"type": "str", "required": True},
            "backup_region": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        retries = {"mode": "standard", "total_max_attempts": 8}
        clients = make_clients(module, ("sts", *remains.SERVICES), max_pool_connections=THREADS, retries=retries)
        account = clients["sts"].get_caller_identity()["Account"]
        scope = Scope(module.params["project"], module.params["environment"], account, module.region)
        found = look(clients, scope)
        if module.params["backup_region"]:
            found += remains.copied_backups(module.client("rds", region=module.params["backup_region"]), scope)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to look through the account, so nothing can be said about left-overs")
    leftovers = [one for one in found if not one.stays]
    kept = [one for one in found if one.stays]
    module.exit_json(
        changed=False,
        leftovers=[one.as_dict() for one in leftovers],
        kept=[one.as_dict() for one in kept],
        leftovers_text=[line(one) for one in leftovers],
        kept_text=[line(one) for one in kept],
    )


if __name__ == "__main__":
    main()
