#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deploy_lock
version_added: 0.2.0
short_description: Let one deploy at a time work on an environment
description:
  - The lock is an object beside the releases, written on condition that there is none, so of two who try one gets it.
  - It carries who took it, since when and for how long. After that time anybody may take it over; so may anybody on the same
    machine when the run that took it is no more.
  - The run that has it renews it by asking for it again.
author:
  - The Espalier authors
options:
  bucket:
    description:
      - Bucket of the releases.
    type: str
    required: true
  prefix:
    description:
      - Folder of this application's releases in the bucket.
    type: str
    required: true
  state:
    description:
      - V(present) takes the lock or renews it, V(absent) gives back one that this run has and leaves any other alone,
        V(forced) removes it whoever has it.
    type: str
    choices: [present, absent, forced]
    default: present
  what:
    description:
      - What it is taken for.
    type: str
    default: deploy
  ttl_seconds:
    description:
      - How long it holds.
    type: int
    default: 3600
  wait_seconds:
    description:
      - How long to wait for somebody else's.
    type: int
    default: 0
  run:
    description:
      - The run of Ansible that asks, which the action plugin fills in.
    type: dict
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Takes nothing, and says nothing of somebody else's lock.
"""

EXAMPLES = r"""
- name: Take the lock
  espalier.aws.deploy_lock:
    bucket: staging-django-static-123456789012
    prefix: releases/django-app
    wait_seconds: 600

- name: Give it back
  espalier.aws.deploy_lock:
    bucket: staging-django-static-123456789012
    prefix: releases/django-app
    state: absent
"""

RETURN = r"""
lock:
  description: The lock that this run has, or the one that was removed; empty where there is none.
  returned: success
  type: dict
  sample: {owner: "arn:aws:iam::123456789012:user/ada", since: "2026-05-01T10:00:00Z", ttl_seconds: 3600, what: deploy}
taken_over:
  description: Whose lock was taken over, and why.
  returned: success
  type: str
"""

import calendar
import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.release_store import LOCK, TIME, Store, now
from ansible_collections.espalier.aws.plugins.module_utils.runs import alive

POLL_SECONDS = 2


def described(lock):
    return f"{lock['owner']} on {lock['run']['host']} has it since {lock['since']} for {lock['ttl_seconds']} s ({lock['what']})"


def ends(lock):
    return calendar.timegm(time.strptime(lock["renewed"], TIME)) + lock["ttl_seconds"]


def excuse(lock):
    """Why somebody else's lock may be taken over, or an empty string."""
    if ends(lock) < time.time():
        return "its time is over"
    if not alive(lock["run"]):
        return "the run that took it is no more"
    return ""


class Lock:
    def __init__(self, clients, params):
        self.store, self.sts = Store(clients["s3"], params["bucket"], params["prefix"]), clients["sts"]
        self.params = params

    def mine(self, lock):
        return bool(lock) and lock["run"] == self.params["run"]

    def wanted(self, since):
        lock = {key: self.params[key] for key in ("what", "ttl_seconds", "run")}
        return {**lock, "owner": self.sts.get_caller_identity()["Arn"], "since": since, "renewed": now()}

    def take(self):
        """The lock, and whose was taken over. Raises TimeoutError when somebody else keeps it."""
        deadline = time.monotonic() + self.params["wait_seconds"]
        while True:
            known, tag = self.store.read(LOCK)
            reason = excuse(known) if known and not self.mine(known) else ""
            if known is None or self.mine(known) or reason:
                wanted = self.wanted(known["since"] if self.mine(known) else now())
                condition = {"IfMatch": tag} if known else {"IfNoneMatch": "*"}
                if self.store.write(wanted, LOCK, **condition):
                    return wanted, f"{described(known)}; {reason}" if reason else ""
            elif time.monotonic() > deadline:
                raise TimeoutError(described(known))
            else:
                time.sleep(POLL_SECONDS)

    def give_back(self, forced):
        known, _ = self.store.read(LOCK)
        if known is None or not (forced or self.mine(known)):
            return {}
        self.store.delete(LOCK)
        return known


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "forced"], "default": "present"},
            "what": {"type": "str", "default": "deploy"},
            "ttl_seconds": {"type": "int", "default": 3600},
            "wait_seconds": {"type": "int", "default": 0},
            "run": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    state, taken_over = module.params["state"], ""
    lock = Lock(make_clients(module, ["s3", "sts"]), module.params)
    try:
        if module.check_mode:
            known = lock.store.read(LOCK)[0] or {}
            module.exit_json(changed=state == "forced" and bool(known), lock=known if state == "forced" else {}, taken_over="")
        if state == "present":
            found, taken_over = lock.take()
        else:
            found = lock.give_back(state == "forced")
    except TimeoutError as error:
        module.fail_json(
            msg=f"Somebody else is at work: {error}. Wait for the end, or wait here with -e app_lock_wait_seconds=600; "
            "when that run is dead, remove its lock with playbooks/unlock.yml."
        )
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to handle the lock {lock.store.url(LOCK)}")
    # A lock is no part of what is managed: taking it and giving it back changes nothing that lasts.
    module.exit_json(changed=state == "forced" and bool(found), lock=found, taken_over=taken_over)


if __name__ == "__main__":
    main()
