#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_distribution
version_added: 0.2.0
short_description: Put CloudFront in front of a private S3 bucket
description:
  - One distribution with one origin, the bucket, which CloudFront asks with an origin access control (signed requests). The bucket's policy
    must allow it for the distribution's ARN; this module leaves the policy alone.
  - Visitors are sent to HTTPS. Objects are cached as their own headers say, compressed, and readable for pages of any other host
    (fonts need that).
  - C(community.aws.cloudfront_distribution) knows the older origin access identities only.
author:
  - The Espalier authors
options:
  name:
    description:
      - Name of the distribution (its comment and caller reference, by which it is found again) and of its origin access control.
    type: str
    required: true
  bucket:
    description:
      - Name of the bucket. Required when O(state=present).
    type: str
  aliases:
    description:
      - Host names of your own, beside CloudFront's. They need O(certificate_arn), and a record in the DNS.
    type: list
    elements: str
    default: []
  certificate_arn:
    description:
      - ACM certificate of these names, of the region us-east-1 whatever the region of the bucket is.
    type: str
    default: ""
  price_class:
    description:
      - Which of CloudFront's locations serve.
    type: str
    choices: [PriceClass_100, PriceClass_200, PriceClass_All]
    default: PriceClass_100
  tags:
    description:
      - Tags of the distribution.
    type: dict
    default: {}
  wait:
    description:
      - Wait until the distribution, as it is now, serves everywhere. Until then a visitor may meet a host name that is not there.
    type: bool
    default: false
  timeout_seconds:
    description:
      - How long a removal, or O(wait), waits. CloudFront brings a change everywhere in some minutes, and deletes only what is switched off
        everywhere.
    type: int
    default: 1800
  state:
    description:
      - V(absent) switches the distribution off, waits, and deletes it with its origin access control.
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
    description: Answers for the distribution as it is.
"""

EXAMPLES = r"""
- name: Serve static files from near the visitors
  espalier.aws.s3_distribution:
    name: production-django-cdn
    bucket: production-django-static-123456789012
  register: cdn
"""

RETURN = r"""
arn:
  description: ARN of the distribution, for the bucket's policy; empty where there is none.
  returned: always
  type: str
  sample: arn:aws:cloudfront::123456789012:distribution/E2QWRUHAPOMQZL
id:
  description: Its id; empty where there is none.
  returned: always
  type: str
  sample: E2QWRUHAPOMQZL
domain_name:
  description: Host name that serves the bucket, the first of O(aliases) or CloudFront's own; empty where there is none.
  returned: always
  type: str
  sample: static.example.com
target:
  description: CloudFront's own host name, to which the records of O(aliases) lead; empty where there is no distribution.
  returned: always
  type: str
  sample: d111111abcdef8.cloudfront.net
"""

import time

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    BotoCoreError = ClientError = Exception  # AnsibleAWSModule reports the missing library

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list

# AWS's managed policies, the same in every account: CachingOptimized and SimpleCORS.
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-response-headers-policies.html
CACHE_POLICY = "658327ea-f89d-4fab-a63d-7e88639e58f6"
HEADERS_POLICY = "60669652-455b-4ae9-85a4-c4c02393f86c"
ORIGIN = "bucket"
POLL_SECONDS = 10


def pages(call, key, **arguments):
    """All items of a list that CloudFront gives in parts."""
    marker = {}
    while True:
        found = call(**arguments, **marker, aws_retry=True)[key]
        yield from found.get("Items") or []
        if not found.get("NextMarker"):
            return
        marker = {"Marker": found["NextMarker"]}


def find(client, name):
    """The distribution of this name as the list gives it, or None."""
    return next((one for one in pages(client.list_distributions, "DistributionList") if one["Comment"] == name), None)


def find_access_control(client, name):
    listed = pages(client.list_origin_access_controls, "OriginAccessControlList")
    return next((one["Id"] for one in listed if one["Name"] == name), None)


def access_control(client, name):
    """Id of the origin access control, made where it is missing."""
    found = find_access_control(client, name)
    if found:
        return found
    config = {
        "Name": name,
        "Description": "",
        "SigningProtocol": "sigv4",
        "SigningBehavior": "always",
        "OriginAccessControlOriginType": "s3",
    }
    return client.create_origin_access_control(OriginAccessControlConfig=config, aws_retry=True)["OriginAccessControl"]["Id"]


def wanted(params, region, access_control_id):
    """The configuration as it should be, without what AWS chooses."""
    certificate = (
        {"ACMCertificateArn": params["certificate_arn"], "SSLSupportMethod": "sni-only", "MinimumProtocolVersion": "TLSv1.2_2021"}
        if params["certificate_arn"]
        else {"CloudFrontDefaultCertificate": True}
    )
    origin = {
        "Id": ORIGIN,
        "DomainName": f"{params['bucket']}.s3.{region}.amazonaws.com",
        "OriginAccessControlId": access_control_id,
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    methods = {"Quantity": 2, "Items": ["GET", "HEAD"]}
    return {
        "CallerReference": params["name"],
        "Comment": params["name"],
        "Enabled": True,
        "PriceClass": params["price_class"],
        "HttpVersion": "http2and3",
        "IsIPV6Enabled": True,
        "Aliases": {"Quantity": len(params["aliases"]), "Items": params["aliases"]} if params["aliases"] else {"Quantity": 0},
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {
            "TargetOriginId": ORIGIN,
            "ViewerProtocolPolicy": "redirect-to-https",
            "AllowedMethods": methods,
            "CachePolicyId": CACHE_POLICY,
            "ResponseHeadersPolicyId": HEADERS_POLICY,
            "Compress": True,
        },
        "ViewerCertificate": certificate,
    }


def differs(found, want):
    """Whether something of `want` is otherwise in `found`, which holds more. An order of names means nothing."""
    if isinstance(want, dict):
        return not isinstance(found, dict) or any(differs(found.get(key), value) for key, value in want.items())
    if isinstance(want, list) and want and isinstance(want[0], dict):
        return len(found or []) != len(want) or any(differs(*pair) for pair in zip(found, want, strict=True))
    if isinstance(want, list):
        return sorted(found or []) != sorted(want)
    return found != want


def merged(found, want):
    """`found` with `want` in it: an update must name everything."""
    if isinstance(want, dict) and isinstance(found, dict):
        return {**found, **{key: merged(found.get(key), value) for key, value in want.items()}}
    if isinstance(want, list) and want and isinstance(want[0], dict) and len(found or []) == len(want):
        return [merged(*pair) for pair in zip(found, want, strict=True)]
    return want


def ensure(client, params, region, check_mode):
    """Returns whether something was changed, or would be, and the distribution."""
    found = find(client, params["name"])
    if found is None:
        if check_mode:
            return True, None
        config = wanted(params, region, access_control(client, params["name"]))
        tags = {"Items": ansible_dict_to_boto3_tag_list(params["tags"])}
        both = {"DistributionConfig": config, "Tags": tags}
        return True, client.create_distribution_with_tags(DistributionConfigWithTags=both, aws_retry=True)["Distribution"]
    answer = client.get_distribution_config(Id=found["Id"], aws_retry=True)
    have = find_access_control(client, params["name"])
    want = wanted(params, region, have or "missing")
    if have and not differs(answer["DistributionConfig"], want):
        return False, found
    if not check_mode:
        want = wanted(params, region, access_control(client, params["name"]))
        config = merged(answer["DistributionConfig"], want)
        client.update_distribution(Id=found["Id"], IfMatch=answer["ETag"], DistributionConfig=config, aws_retry=True)
    return True, found


def await_deployed(client, distribution_id, seconds):
    """CloudFront's answer for a distribution whose last change is everywhere. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (answer := client.get_distribution(Id=distribution_id, aws_retry=True))["Distribution"]["Status"] != "Deployed":
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_SECONDS)
    return answer


def remove(client, params, check_mode):
    """Returns whether there was something, and in check mode the distribution. Raises TimeoutError."""
    found, control = find(client, params["name"]), find_access_control(client, params["name"])
    if check_mode or not (found or control):
        return bool(found or control), found
    if found:
        answer = client.get_distribution_config(Id=found["Id"], aws_retry=True)
        if answer["DistributionConfig"]["Enabled"]:
            off = {**answer["DistributionConfig"], "Enabled": False}
            client.update_distribution(Id=found["Id"], IfMatch=answer["ETag"], DistributionConfig=off, aws_retry=True)
        answer = await_deployed(client, found["Id"], params["timeout_seconds"])
        client.delete_distribution(Id=found["Id"], IfMatch=answer["ETag"], aws_retry=True)
    if control:
        etag = client.get_origin_access_control(Id=control, aws_retry=True)["ETag"]
        client.delete_origin_access_control(Id=control, IfMatch=etag, aws_retry=True)
    return True, None


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "bucket": {"type": "str"},
            "aliases": {"type": "list", "elements": "str", "default": []},
            "certificate_arn": {"type": "str", "default": ""},
            "price_class": {"type": "str", "choices": ["PriceClass_100", "PriceClass_200", "PriceClass_All"], "default": "PriceClass_100"},
            "tags": {"type": "dict", "default": {}},
            "wait": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 1800},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["bucket"])],
        supports_check_mode=True,
    )
    client = module.client("cloudfront", retry_decorator=AWSRetry.jittered_backoff())
    found, params = None, module.params
    try:
        if params["state"] == "absent":
            changed, found = remove(client, params, module.check_mode)
        else:
            changed, found = ensure(client, params, module.region, module.check_mode)
            if found and params["wait"]:
                await_deployed(client, found["Id"], params["timeout_seconds"])
    except TimeoutError:
        what = "switched off" if params["state"] == "absent" else "deployed"
        module.fail_json(msg=f"{params['name']} is not {what} everywhere after {params['timeout_seconds']} s. Run this again later.")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to ensure the distribution {params['name']}")
    found = found or {"ARN": "", "Id": "", "DomainName": ""}
    target = found["DomainName"]
    domain = params["aliases"][0] if target and params["aliases"] else target
    module.exit_json(changed=changed, arn=found["ARN"], id=found["Id"], domain_name=domain, target=target)


if __name__ == "__main__":
    main()
