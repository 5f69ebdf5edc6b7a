#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_doctor
version_added: 0.3.0
short_description: Find out what is wrong with an environment
description:
  - Looks at every hop from the visitor's name to the database, at rights, quotas, backups, alarms and releases.
  - Says what is wrong, each with its fix.
  - Changes nothing. What it may not or cannot look at is listed in RV(unknown), and the rest is judged all the same.
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
  stack:
    description:
      - What M(espalier.aws.stack_info) has answered. A key that is not there is judged by no check.
    type: dict
    required: true
  today:
    description:
      - What M(espalier.aws.stack_status) has answered, likewise.
    type: dict
    required: true
  unknown:
    description:
      - What could not be looked at before this module was called, with the reasons; they are returned with its own.
    type: dict
    default: {}
  released:
    description:
      - What M(espalier.aws.release_info) has answered; empty where there is no bucket.
    type: dict
    default: {}
  machines:
    description:
      - What each instance has printed of itself, by its id. The last line is JSON.
    type: dict
    default: {}
  kubernetes:
    description:
      - What the cluster's API server answers; empty where there is no cluster.
    type: dict
    default: {}
    suboptions:
      error:
        description: Why it could not be asked; empty where it was.
        type: str
        default: ""
      nodes:
        description: Its nodes, as M(kubernetes.core.k8s_info) returns them.
        type: list
        elements: dict
        default: []
      ingresses:
        description: Its ingresses, likewise.
        type: list
        elements: dict
        default: []
      pods:
        description: By namespace, what P(espalier.aws.pod_troubles#filter) answers.
        type: dict
        default: {}
      tags:
        description: By namespace, the tag of C(site.yml) that deploys what is in it.
        type: dict
        default: {}
      may_lack:
        description: Applications whose absence is a warning.
        type: list
        elements: str
        default: []
  expected:
    description:
      - What the inventory wants.
    type: dict
    required: true
    suboptions:
      url:
        description: Address of the application; empty for none yet.
        type: str
        default: ""
      kubernetes_url:
        description: Address of the application in the cluster; empty for its load balancer's own.
        type: str
        default: ""
      names:
        description: Host names that visitors use.
        type: list
        elements: str
        default: []
      domains:
        description: Those of them that are to lead to the load balancer.
        type: list
        elements: str
        default: []
      visitors:
        description: Address ranges that may reach the load balancer.
        type: list
        elements: str
        default: ["0.0.0.0/0"]
      health_path:
        description: Path of the health check.
        type: str
        default: /health
      ready_path:
        description: Path of the check that asks the database, too.
        type: str
        default: /ready
      app_port:
        description: Port on which instances answer.
        type: int
        default: 80
      endpoints:
        description: Services that are reached by VPC endpoints.
        type: list
        elements: str
        default: [ssm, ssmmessages, ec2messages]
      database:
        description: Whether the application has a database.
        type: bool
        default: true
      database_port:
        description: Port of the database.
        type: int
        default: 5432
      database_parameter:
        description: SSM parameter that names its address.
        type: str
        required: true
      release_parameter:
        description: SSM parameter that names the current release.
        type: str
        required: true
      secrets:
        description: Names of the secrets that instances read.
        type: list
        elements: str
        default: []
      master_secret:
        description: Name of the secret of the database's master, which instances do not read; empty for none.
        type: str
        default: ""
      log_group:
        description: CloudWatch log group that instances write; empty for none.
        type: str
        default: ""
      policy:
        description: Name of the scaling policy.
        type: str
        required: true
      min_size:
        description: Instances at least.
        type: int
        required: true
      max_size:
        description: Instances at most.
        type: int
        required: true
      alarms:
        description: Whether there are to be alarms.
        type: bool
        default: true
      alarms_database:
        description: Whether there are to be those of the database, too.
        type: bool
        default: false
      alarms_requests:
        description: Whether there are to be those of errors and latency, too.
        type: bool
        default: false
      alarms_prefix:
        description: What their names begin with.
        type: str
        required: true
      cluster:
        description: Whether there is to be a cluster.
        type: bool
        default: false
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
- name: Find out what is wrong
  espalier.aws.stack_doctor:
    project: django
    environment: staging
    stack: "{{ stack }}"
    today: "{{ today }}"
    expected:
      database_parameter: /DjangoApp/rds_endpoint
      release_parameter: /DjangoApp/release
      policy: staging-django-cpu
      min_size: 1
      max_size: 3
      alarms_prefix: staging-django
"""

RETURN = r"""
findings:
  description: What is wrong; problems first, then warnings.
  returned: success
  type: list
  elements: dict
  contains:
    check:
      description: What was looked at.
      type: str
    severity:
      description: V(problem), or V(warning) for what hurts nobody yet.
      type: str
    subject:
      description: The thing.
      type: str
    problem:
      description: What is wrong with it.
      type: str
    fix:
      description: What to do.
      type: str
unknown:
  description: What could not be looked at, with the reason.
  returned: success
  type: dict
  sample: {quotas: "AccessDeniedException: not allowed to perform servicequotas:GetServiceQuota"}
checks:
  description: How many checks were made.
  returned: success
  type: int
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import doctor_checks, doctor_facts, stack
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients, settled

EXPECTED = {
    "url": {"type": "str", "default": ""},
    "kubernetes_url": {"type": "str", "default": ""},
    "names": {"type": "list", "elements": "str", "default": []},
    "domains": {"type": "list", "elements": "str", "default": []},
    "visitors": {"type": "list", "elements": "str", "default": ["0.0.0.0/0"]},
    "health_path": {"type": "str", "default": "/health"},
    "ready_path": {"type": "str", "default": "/ready"},
    "app_port": {"type": "int", "default": 80},
    "endpoints": {"type": "list", "elements": "str", "default": list(stack.ENDPOINT_SERVICES)},
    "database": {"type": "bool", "default": True},
    "database_port": {"type": "int", "default": 5432},
    "database_parameter": {"type": "str", "required": True},
    "release_parameter": {"type": "str", "required": True},
    "secrets": {"type": "list", "elements": "str", "default": []},
    "master_secret": {"type": "str", "default": ""},
    "policy": {"type": "str", "required": True},
    "min_size": {"type": "int", "required": True},
    "max_size": {"type": "int", "required": True},
    "alarms": {"type": "bool", "default": True},
    "alarms_database": {"type": "bool", "default": False},
    "alarms_requests": {"type": "bool", "default": False},
    "log_group": {"type": "str", "default": ""},
    "alarms_prefix": {"type": "str", "required": True},
    "cluster": {"type": "bool", "default": False},
}
KUBERNETES = {
    "error": {"type": "str", "default": ""},
    "nodes": {"type": "list", "elements": "dict", "default": []},
    "ingresses": {"type": "list", "elements": "dict", "default": []},
    "pods": {"type": "dict", "default": {}},
    "tags": {"type": "dict", "default": {}},
    "may_lack": {"type": "list", "elements": "str", "default": []},
}


def gather(clients, scope, params):
    """What could be read by its name, and why the rest could not."""
    expected, balancer = params["expected"], params["stack"].get("load_balancer") or {}
    hosts = [one.get("status", {}).get("loadBalancer", {}).get("ingress") or [] for one in params["kubernetes"].get("ingresses", [])]
    expected = {
        **expected,
        "parameters": [expected["release_parameter"], *([expected["database_parameter"]] if expected["database"] else [])],
        "balancer": balancer.get("dns_name", ""),
        "ingress_hosts": [one["hostname"] for ingress in hosts for one in ingress if one.get("hostname")],
    }
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = {name: pool.submit(reader, clients.__getitem__, scope) for name, reader in doctor_facts.READERS.items()}
        answers |= {name: pool.submit(reader, clients.__getitem__, scope, expected) for name, reader in doctor_facts.EXPECTING.items()}
    return settled(answers)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "environment": {"type": "str", "required": True},
            "stack": {"type": "dict", "required": True},
            "today": {"type": "dict", "required": True},
            "unknown": {"type": "dict", "default": {}},
            "released": {"type": "dict", "default": {}},
            "machines": {"type": "dict", "default": {}},
            "kubernetes": {"type": "dict", "default": {}, "options": KUBERNETES},
            "expected": {"type": "dict", "required": True, "options": EXPECTED},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        clients = make_clients(module, ("sts", *doctor_facts.SERVICES), retries={"mode": "standard", "total_max_attempts": 3})
        scope = stack.scope_of(clients["sts"], params["project"], params["environment"], module.region)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="Unable to ask AWS at all")
    known, unknown = gather(clients, scope, params)
    unknown = {**params["unknown"], **unknown}
    machines = {name: doctor_facts.parsed(said) for name, said in params["machines"].items()}
    facts = {**known, "machines": machines, **{key: params[key] for key in ("stack", "today", "released", "kubernetes", "expected")}}
    module.exit_json(changed=False, findings=doctor_checks.diagnose(facts), unknown=unknown, checks=len(doctor_checks.CHECKS))


if __name__ == "__main__":
    main()
