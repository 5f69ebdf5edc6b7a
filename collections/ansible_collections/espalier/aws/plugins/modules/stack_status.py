#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_status
version_added: 0.3.0
short_description: Tell how one environment is today
description:
  - Reads alarms, subscriptions, backups, scaling activities, machines, their agents, and certificates, all services in parallel, and
    changes nothing.
  - What may not or cannot be looked at is listed in RV(unknown), and its key is left out of the answer.
  - Health of targets, the group and the database are in the answer of M(espalier.aws.stack_info), releases in that of
    M(espalier.aws.release_info).
author:
  - The Espalier authors
options:
  project:
    description:
      - Value of the tag C(Project).
    type: str
    required: true
  environment:
    description:
      - Value of the tag C(Environment).
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
- name: Look how it is
  espalier.aws.stack_status:
    project: django
    environment: staging
  register: today
"""

RETURN = r"""
alarms:
  description: The alarms, those that ring first. One without C(actions) tells nobody, nor does one that is C(muted), whose actions are off.
  returned: success
  type: list
  elements: dict
  sample: [{name: lab-django-cpu-high, state: OK, since: "2026-01-01T00:00:00+00:00", reason: "", actions: true, muted: false}]
subscriptions:
  description: Who is told. C(pending) is true until the address has been confirmed.
  returned: success
  type: list
  elements: dict
  sample: [{protocol: email, endpoint: ops@example.com, pending: true}]
backups:
  description:
    - Of the database, the newest snapshots first; null where there is no database. C(restorable_to) is null without automatic backups.
  returned: success
  type: dict
  sample:
    retention_days: 7
    restorable_to: "2026-01-01T00:00:00+00:00"
    snapshots: [{name: before-upgrade, type: manual, status: available, at: "2026-01-01T00:00:00+00:00", encrypted: true}]
activities:
  description: What the auto scaling group did last, the newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - {at: "2026-01-01T00:00:00+00:00", status: Successful, description: "Launching a new EC2 instance: i-0a1", cause: "", message: ""}
machines:
  description: Instances and bastion that are not terminated.
  returned: success
  type: list
  elements: dict
  sample:
    - id: i-0a1
      role: app
      state: running
      type: t2.micro
      zone: us-east-1a
      address: 10.0.10.4
      image: ami-0a1
      launched: "2026-01-01T00:00:00+00:00"
agents:
  description: What Session Manager says of each machine whose agent has ever reported, C(Online) or C(ConnectionLost).
  returned: success
  type: dict
  sample: {i-0a1: Online}
unknown:
  description: What could not be looked at, with the reason.
  returned: success
  type: dict
  sample: {subscriptions: "ClientError: An error occurred (AuthorizationError) when calling the ListSubscriptionsByTopic operation"}
certificates:
  description: Certificates of AWS Certificate Manager that the load balancer's listeners use.
  returned: success
  type: list
  elements: dict
  sample:
    - arn: arn:aws:acm:us-east-1:123456789012:certificate/1a
      domain: www.example.com
      names: [www.example.com]
      status: ISSUED
      expires: "2027-01-01T00:00:00+00:00"
      renewal: null
      imported: false
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import stack, stack_status
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients, settled


def gather(clients, scope):
    with ThreadPoolExecutor(max_workers=len(stack_status.READERS)) as pool:
        answers = {name: pool.submit(reader, clients.__getitem__, scope) for name, reader in stack.named(stack_status.READERS).items()}
    known, unknown = settled(answers)
    return {key: value for answer in known.values() for key, value in answer.items()} | {"unknown": unknown}


def main():
    module = AnsibleAWSModule(
        argument_spec={"project": {"type": "str", "required": True}, "environment": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    try:
        clients = make_clients(
            module, ("sts", *stack_status.SERVICES), retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10
        )
        scope = stack.scope_of(clients["sts"], module.params["project"], module.params["environment"], module.region)
        result = gather(clients, scope)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to look how the environment is")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
