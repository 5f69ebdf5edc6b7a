#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: iam_oidc_provider
version_added: 0.3.0
short_description: Let IAM trust an OpenID Connect issuer
description:
  - Manages an OpenID Connect identity provider of IAM, such as the issuer of an EKS cluster, whose service accounts roles can then trust,
    or that of GitHub Actions.
author:
  - The Espalier authors
options:
  url:
    description:
      - The issuer, beginning with C(https://). An account has one provider for it at most.
    type: str
    required: true
  client_ids:
    description:
      - Audiences; others are removed, unless O(purge) is off.
    type: list
    elements: str
    default: [sts.amazonaws.com]
  thumbprints:
    description:
      - SHA-1 thumbprints of the issuer's certificate authority. Not needed where AWS knows the authority, as for EKS, GitHub and GitLab;
        what AWS has found itself is left alone then.
    type: list
    elements: str
    default: []
  state:
    description:
      - Whether the issuer is trusted.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description:
      - Tags of the provider; others are removed, unless O(purge) is off.
    type: dict
    default: {}
  purge:
    description:
      - Whether audiences and tags that are not named here are removed. Off for a provider that others in the account use, too.
    type: bool
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would be made or changed.
  diff_mode:
    support: full
    description: Shows the provider before and after.
"""

EXAMPLES = r"""
- name: Trust the cluster's service accounts
  espalier.aws.iam_oidc_provider:
    url: https://oidc.eks.us-east-1.amazonaws.com/id/0A1B2C

- name: Trust GitHub, and leave alone what others have made of it
  espalier.aws.iam_oidc_provider:
    url: https://token.actions.githubusercontent.com
    purge: false
"""

RETURN = r"""
arn:
  description: ARN of the provider; empty where there is none, or in a plan of a new one.
  returned: success
  type: str
  sample: arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0A1B2C
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def find(client, url):
    """ARN and settings of the issuer's provider; empty where there is none."""
    issuer = url.removeprefix("https://").rstrip("/")
    for one in client.list_open_id_connect_providers(aws_retry=True)["OpenIDConnectProviderList"]:
        if one["Arn"].partition(":oidc-provider/")[2] == issuer:
            found = client.get_open_id_connect_provider(OpenIDConnectProviderArn=one["Arn"], aws_retry=True)
            settings = {
                "client_ids": sorted(found["ClientIDList"]),
                "thumbprints": sorted(found["ThumbprintList"]),
                "tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
            }
            return one["Arn"], settings
    return "", {}


def as_list(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def apply(client, url, arn, before, after):
    """Make the provider what it should be; its ARN."""
    if not before:
        thumbprints = {"ThumbprintList": after["thumbprints"]} if after["thumbprints"] else {}
        made = client.create_open_id_connect_provider(
            Url=url, ClientIDList=after["client_ids"], Tags=as_list(after["tags"]), aws_retry=True, **thumbprints
        )
        return made["OpenIDConnectProviderArn"]
    of = {"OpenIDConnectProviderArn": arn, "aws_retry": True}
    if not after:
        client.delete_open_id_connect_provider(**of)
        return ""
    for client_id in sorted(set(after["client_ids"]) - set(before["client_ids"])):
        client.add_client_id_to_open_id_connect_provider(ClientID=client_id, **of)
    for client_id in sorted(set(before["client_ids"]) - set(after["client_ids"])):
        client.remove_client_id_from_open_id_connect_provider(ClientID=client_id, **of)
    if before["thumbprints"] != after["thumbprints"]:
        client.update_open_id_connect_provider_thumbprint(ThumbprintList=after["thumbprints"], **of)
    surplus = sorted(set(before["tags"]) - set(after["tags"]))
    if surplus:
        client.untag_open_id_connect_provider(TagKeys=surplus, **of)
    missing = {key: value for key, value in after["tags"].items() if before["tags"].get(key) != value}
    if missing:
        client.tag_open_id_connect_provider(Tags=as_list(missing), **of)
    return arn


SPEC = {
    "url": {"type": "str", "required": True},
    "client_ids": {"type": "list", "elements": "str", "default": ["sts.amazonaws.com"]},
    "thumbprints": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tags": {"type": "dict", "default": {}},
    "purge": {"type": "bool", "default": True},
}


def main():
    module = AnsibleAWSModule(argument_spec=SPEC, supports_check_mode=True)
    params, client = module.params, module.client("iam", retry_decorator=AWSRetry.jittered_backoff())
    try:
        arn, before = find(client, params["url"])
        after = {}
        if params["state"] == "present":
            thumbprints = sorted(params["thumbprints"]) or before.get("thumbprints", [])
            kept = {} if params["purge"] else before
            client_ids = sorted({*params["client_ids"], *kept.get("client_ids", [])})
            after = {"client_ids": client_ids, "thumbprints": thumbprints, "tags": {**kept.get("tags", {}), **params["tags"]}}
        if before != after and not module.check_mode:
            arn = apply(client, params["url"], arn, before, after)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the OpenID Connect provider of {params['url']}")
    module.exit_json(changed=before != after, arn=arn, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
