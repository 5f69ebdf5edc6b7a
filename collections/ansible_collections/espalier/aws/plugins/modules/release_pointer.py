#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_pointer
version_added: 0.2.0
short_description: Name the current release, and write down what was done
description:
  - Sets the SSM parameter that names the release which new instances install, writes a record into the log beside the releases, and
    removes old releases by number.
  - The current and the previous release, and the one that a rollback would go to, are never removed.
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
  parameter:
    description:
      - SSM parameter that names the current release.
    type: str
    required: true
  version:
    description:
      - The release. It must be in the store.
    type: str
    required: true
  what:
    description:
      - What is being done.
    type: str
    choices: [deploy, rollback]
    default: deploy
  result:
    description:
      - After V(failed), only the record is written.
    type: str
    choices: [succeeded, failed]
    default: succeeded
  reason:
    description:
      - Why it failed, or why it was done.
    type: str
    default: ''
  seconds:
    description:
      - How long it took.
    type: int
  keep:
    description:
      - How many releases to keep, V(0) for all.
    type: int
    default: 0
  tags:
    description:
      - Tags of the parameter when it is made. Must hold C(Project) and C(Environment); a parameter with others belongs to somebody else.
    type: dict
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
- name: Make it the current release
  espalier.aws.release_pointer:
    bucket: staging-django-static-123456789012
    prefix: releases/django-app
    parameter: /DjangoApp/release
    version: v1.4.2
    keep: 5
    tags: {Project: django, Environment: staging}
"""

RETURN = r"""
current:
  description: The release that the parameter names now.
  returned: success
  type: str
before:
  description: The release that it named before.
  returned: success
  type: str
removed:
  description: Releases that were removed from the bucket.
  returned: success
  type: list
  elements: str
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list, boto3_tag_list_to_ansible_dict
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.release_store import (
    MANIFEST,
    Store,
    history,
    now,
    read_pointer,
    standing,
)


def surplus(releases, keep, place):
    """Releases beyond the newest `keep`, without those that serve or may have to serve again."""
    versions = [manifest["version"] for manifest in releases]
    return [version for version in versions[keep:] if version not in place.values()] if keep else []


class Pointer:
    def __init__(self, clients, params):
        self.ssm, self.sts, self.params = clients["ssm"], clients["sts"], params
        self.store = Store(clients["s3"], params["bucket"], params["prefix"])
        self.name, self.version = params["parameter"], params["version"]
        self.before = read_pointer(self.ssm, self.name)

    def refusal(self):
        """Why the pointer cannot be moved, or an empty string."""
        if self.store.read(self.version, MANIFEST)[0] is None:
            return f"There is no release {self.version} in {self.store.url()}: nothing may point to it."
        if not self.before:
            return ""
        tags = boto3_tag_list_to_ansible_dict(self.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=self.name)["TagList"])
        theirs, ours = ([known.get(key) for key in ("Project", "Environment")] for known in (tags, self.params["tags"]))
        if theirs != ours:
            hint = "Give this environment a suite_release_parameter of its own."
            return f"The parameter {self.name} carries the tags {theirs} and not {ours}. {hint}"
        return ""

    def move(self):
        value = {"Name": self.name, "Value": self.version, "Type": "String"}
        if self.before:
            self.ssm.put_parameter(**value, Overwrite=True)
        else:
            description = "The release that instances serve"
            self.ssm.put_parameter(**value, Description=description, Tags=ansible_dict_to_boto3_tag_list(self.params["tags"]))

    def record(self):
        entry = {key: self.params[key] for key in ("what", "result", "reason", "seconds")}
        who = self.sts.get_caller_identity()["Arn"]
        self.store.record({**entry, "at": now(), "who": who, "from": self.before, "to": self.version})

    def prune(self, dry):
        releases = self.store.releases()
        place = standing(self.version, history(self.ssm, self.name), self.store.log(), [manifest["version"] for manifest in releases])
        removed = surplus(releases, self.params["keep"], place)
        for version in [] if dry else removed:
            self.store.remove(version)
        return removed


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "parameter": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "what": {"type": "str", "choices": ["deploy", "rollback"], "default": "deploy"},
            "result": {"type": "str", "choices": ["succeeded", "failed"], "default": "succeeded"},
            "reason": {"type": "str", "default": ""},
            "seconds": {"type": "int"},
            "keep": {"type": "int", "default": 0},
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    removed = []
    try:
        pointer = Pointer(make_clients(module, ["s3", "ssm", "sts"], max_pool_connections=10), module.params)
        succeeded = module.params["result"] == "succeeded"
        refusal = pointer.refusal() if succeeded and not module.check_mode else ""
        if refusal:
            module.fail_json(msg=refusal)
        changed = pointer.before != module.params["version"] if succeeded else True
        if changed and not module.check_mode:
            if succeeded:
                pointer.move()
            pointer.record()
        if succeeded and not module.check_mode:
            removed = pointer.prune(module.check_mode)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to make {module.params['version']} the current release")
    current = module.params["version"] if succeeded else pointer.before
    module.exit_json(changed=changed or bool(removed), current=current, before=pointer.before, removed=removed)


if __name__ == "__main__":
    main()
