#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: session_document
version_added: 0.2.0
short_description: Manage a document of Session Manager for shell sessions
description:
  - A document says where the sessions that name it are logged, and when idle ones end. C(SSM-SessionManagerRunShell) holds what is true of
    all sessions of the account and region that name none.
  - What a session writes and what is typed in it goes to the log, passwords included.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the document.
    type: str
    required: true
  description:
    description:
      - What it is for. Required when O(state=present).
    type: str
  log_group:
    description:
      - Log group of CloudWatch that sessions are written to; empty for none. The instances' role must be allowed to write there.
    type: str
    default: ""
  idle_minutes:
    description:
      - Minutes without a word after which a session ends, 1 to 60.
    type: int
    default: 20
  tags:
    description:
      - Tags of a new document; one that exists gets them with its next change.
      - With O(state=absent), a document without these tags is left alone.
    type: dict
    default: {}
  state:
    description:
      - Whether the document exists.
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
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows the document before and after.
"""

EXAMPLES = r"""
- name: Sessions that are logged
  espalier.aws.session_document:
    name: production-django-shell
    description: Shells on production, logged
    log_group: /aws/ssm/production-django-sessions
"""

RETURN = r"""
version:
  description: Version that sessions get afterwards; empty without a document, and in a plan that would change it.
  returned: success
  type: str
  sample: "2"
"""

import contextlib
import json

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list, boto3_tag_list_to_ansible_dict


def find(client, name):
    """Content and version that sessions get, or None twice."""
    try:
        # Without a version AWS answers the default one, which is what sessions get.
        found = client.get_document(Name=name, aws_retry=True)
    except is_boto3_error_code("InvalidDocument"):
        return None, ""
    return json.loads(found["Content"]), found["DocumentVersion"]


def carries(client, name, tags):
    """Whether there is such a document of this account with all of these tags. Documents of Amazon and of others have none to ask for."""
    filters = [{"Key": "Owner", "Values": ["Self"]}, {"Key": "Name", "Values": [name]}]
    found = client.list_documents(Filters=filters, aws_retry=True)["DocumentIdentifiers"]
    return any(one["Name"] == name and tags.items() <= boto3_tag_list_to_ansible_dict(one.get("Tags", [])).items() for one in found)


def wanted(params):
    """https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-schema.html"""
    return {
        "schemaVersion": "1.0",
        "description": params["description"],
        "sessionType": "Standard_Stream",
        "inputs": {
            "cloudWatchLogGroupName": params["log_group"],
            "cloudWatchEncryptionEnabled": False,
            # Line by line, not at the session's end: what was typed before a machine died is there.
            "cloudWatchStreamingEnabled": bool(params["log_group"]),
            "s3BucketName": "",
            "s3KeyPrefix": "",
            "s3EncryptionEnabled": False,
            "idleSessionTimeout": str(params["idle_minutes"]),
            "kmsKeyId": "",
            "runAsEnabled": False,
            "runAsDefaultUser": "",
        },
    }


def write(client, params, before, after):
    """Returns the version that sessions get now."""
    content = json.dumps(after)
    if before is None:
        more = {"Tags": ansible_dict_to_boto3_tag_list(params["tags"])} if params["tags"] else {}
        made = client.create_document(
            Name=params["name"], Content=content, DocumentType="Session", DocumentFormat="JSON", aws_retry=True, **more
        )
        return made["DocumentDescription"]["DocumentVersion"]
    try:
        made = client.update_document(
            Name=params["name"], Content=content, DocumentVersion="$LATEST", DocumentFormat="JSON", aws_retry=True
        )
        version = made["DocumentDescription"]["DocumentVersion"]
    except is_boto3_error_code("DuplicateDocumentContent"):
        # A run was cut short between the two calls: the newest version is it.
        version = client.describe_document(Name=params["name"], aws_retry=True)["Document"]["LatestVersion"]
    client.update_document_default_version(Name=params["name"], DocumentVersion=version, aws_retry=True)
    if params["tags"]:
        # Of a document that somebody else has made: by them it is found and removed.
        tags = ansible_dict_to_boto3_tag_list(params["tags"])
        client.add_tags_to_resource(ResourceType="Document", ResourceId=params["name"], Tags=tags, aws_retry=True)
    return version


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str"},
            "log_group": {"type": "str", "default": ""},
            "idle_minutes": {"type": "int", "default": 20},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["description"])],
        supports_check_mode=True,
    )
    params = module.params
    after = wanted(params) if params["state"] == "present" else None
    client = module.client("ssm", retry_decorator=AWSRetry.jittered_backoff())
    try:
        # The list is everybody's to read, a document of others is not.
        if not after and params["tags"] and not carries(client, params["name"], params["tags"]):
            module.exit_json(changed=False, version="")
        before, version = find(client, params["name"])
        changed = before != after
        if changed and not module.check_mode:
            if after:
                version = write(client, params, before, after)
            else:
                client.delete_document(Name=params["name"], aws_retry=True)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the session document {params['name']}")
    kept = version if after and not (changed and module.check_mode) else ""
    module.exit_json(changed=changed, version=kept, diff={"before": before or {}, "after": after or {}})


if __name__ == "__main__":
    main()
