#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: certificate
version_added: 0.2.0
short_description: Request a certificate of AWS Certificate Manager that DNS validates
description:
  - Requests a public certificate for some host names, or finds the one that was requested before, and answers the DNS records that
    validate it. M(community.aws.acm_certificate) manages imported certificates only.
  - A certificate's names cannot be changed. For other names another certificate is requested; the one before is told as
    RV(superseded), to be removed with O(purge) when nothing uses it any more.
  - ACM renews a certificate by itself as long as its records are there and something uses it.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Tag C(Name) of the certificate. Certificates with this tag and all of O(tags) are the module's own; others are left alone.
    type: str
    required: true
  domains:
    description:
      - Host names, C(*.example.com) for all of one level; the first is the certificate's common name, 64 characters at most.
      - Required when O(state=present).
    type: list
    elements: str
    default: []
  tags:
    description:
      - Tags by which the certificate is found, beside its name.
    type: dict
    required: true
  wait:
    description:
      - Wait until the certificate is issued. Without its DNS records it never is.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait. AWS needs a few minutes after the records are there.
    type: int
    default: 900
  purge:
    description:
      - Remove what is superseded. What is still in use after some seconds stays, and RV(superseded) tells it again.
    type: bool
    default: false
  state:
    description:
      - V(absent) removes all certificates of this name and these tags, whatever their host names.
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
    description: Says whether a certificate would be requested or removed; a new one's RV(arn) is then empty.
"""

EXAMPLES = r"""
- name: Request a certificate
  espalier.aws.certificate:
    name: staging-django-alb
    domains: [www.example.com, example.com]
    tags: {Project: django, Environment: staging}
  register: certificate

- name: Validate it
  amazon.aws.route53:
    zone: example.com
    record: "{{ item.name }}"
    type: "{{ item.type }}"
    value: "{{ item.value }}"
    state: present
  loop: "{{ certificate.records }}"
"""

RETURN = r"""
arn:
  description: ARN of the certificate; empty when there is none.
  returned: success
  type: str
  sample: arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555
status:
  description: Its status in ACM's words; empty when there is no certificate.
  returned: success
  type: str
  sample: PENDING_VALIDATION
records:
  description: DNS records that validate it, each name once, without its last dot.
  returned: success
  type: list
  elements: dict
  sample: [{name: _d93.www.example.com, type: CNAME, value: _c9e.acm-validations.aws.}]
superseded:
  description:
    - ARNs of certificates of this name and these tags that are for other host names, or whose validation has failed.
    - With O(purge) those that something still uses.
  returned: success
  type: list
  elements: str
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

POLL_SECONDS = 5
# A new certificate's records are known some seconds after its request.
RECORDS_SECONDS = 60
USABLE = ("PENDING_VALIDATION", "ISSUED")


class RequestError(Exception):
    """A certificate that cannot be had; the message says why."""


def tags_of(client, arn):
    """None of a certificate that somebody has removed meanwhile."""
    try:
        return {tag["Key"]: tag.get("Value", "") for tag in client.list_tags_for_certificate(CertificateArn=arn)["Tags"]}
    except is_boto3_error_code("ResourceNotFoundException"):
        return {}


@AWSRetry.jittered_backoff()
def list_own(client, name, tags):
    """Descriptions of our certificates, the oldest first."""
    wanted = {**tags, "Name": name}
    found = []
    # It lists only certificates with RSA keys of 2048 bits at most, unless asked for others: ours are such.
    for page in client.get_paginator("list_certificates").paginate():
        for summary in page["CertificateSummaryList"]:
            arn = summary["CertificateArn"]
            if wanted.items() <= tags_of(client, arn).items():
                found.append(client.describe_certificate(CertificateArn=arn)["Certificate"])
    return sorted(found, key=lambda one: str(one.get("CreatedAt", "")))


def is_for(certificate, domains):
    """Whether it is for exactly these host names and may be used, now or when it is validated."""
    names = {certificate["DomainName"], *certificate.get("SubjectAlternativeNames", [])}
    return names == set(domains) and certificate["Status"] in USABLE


def request(client, name, domains, tags):
    more = {"SubjectAlternativeNames": domains[1:]} if domains[1:] else {}
    return client.request_certificate(
        DomainName=domains[0],
        ValidationMethod="DNS",
        Tags=[{"Key": key, "Value": value} for key, value in {**tags, "Name": name}.items()],
        **more,
    )["CertificateArn"]


def records_of(certificate):
    """A name and its wildcard share one record."""
    options = [option.get("ResourceRecord") for option in certificate.get("DomainValidationOptions", [])]
    unique = {record["Name"]: record for record in options if record}
    return [
        {"name": record["Name"].rstrip("."), "type": record["Type"], "value": record["Value"]} for _name, record in sorted(unique.items())
    ]


def poll(client, arn, seconds, arrived):
    """Describe the certificate until `arrived` says so; returns its last description. Fails when ACM has given it up."""
    deadline = time.monotonic() + seconds
    while True:
        found = client.describe_certificate(CertificateArn=arn)["Certificate"]
        if arrived(found) or time.monotonic() >= deadline:
            return found
        if found["Status"] not in USABLE:
            raise RequestError(f"certificate {arn} is {found['Status']}: {found.get('FailureReason', 'ACM says no more')}")
        time.sleep(POLL_SECONDS)


def await_issue(client, arn, seconds):
    found = poll(client, arn, seconds, lambda one: one["Status"] == "ISSUED")
    if found["Status"] != "ISSUED":
        names = ", ".join(record["name"] for record in records_of(found))
        raise RequestError(
            f"certificate {arn} is still {found['Status']} after {seconds} s. ACM looks for the CNAME records {names}: "
            "the zone must be the one that the domain's registrar delegates to."
        )
    return found


def delete(client, arn, retries):
    """A listener that has let go of its certificate holds it for some seconds more."""
    backoff = AWSRetry.jittered_backoff(retries=retries, delay=2, catch_extra_error_codes=["ResourceInUseException"])
    backoff(client.delete_certificate)(CertificateArn=arn)


def purge(client, arns):
    """Returns those that something else uses, such as a cluster's ingress."""
    used = []
    for arn in arns:
        try:
            delete(client, arn, retries=5)
        except is_boto3_error_code("ResourceInUseException"):
            used.append(arn)
    return used


def ensure_present(client, params, check_mode):
    own = list_own(client, params["name"], params["tags"])
    current = next((one for one in own if is_for(one, params["domains"])), None)
    changed = current is None
    if changed and not check_mode:
        arn = request(client, params["name"], params["domains"], params["tags"])
        current = poll(client, arn, RECORDS_SECONDS, records_of)
    if current and params["wait"] and not check_mode:
        current = await_issue(client, current["CertificateArn"], params["wait_timeout"])
    superseded = [one["CertificateArn"] for one in own if not current or one["CertificateArn"] != current["CertificateArn"]]
    if params["purge"] and superseded:
        staying = [] if check_mode else purge(client, superseded)
        return changed or staying != superseded, current, staying
    return changed, current, superseded


def ensure_absent(client, params, check_mode):
    own = list_own(client, params["name"], params["tags"])
    for one in own if not check_mode else []:
        delete(client, one["CertificateArn"], retries=8)
    return bool(own), None, []


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "domains": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "required": True},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 900},
            "purge": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "present" and not module.params["domains"]:
        module.fail_json(msg="domains names no host name, and a certificate needs one")
    ensure = ensure_present if module.params["state"] == "present" else ensure_absent
    try:
        changed, current, superseded = ensure(module.client("acm"), module.params, module.check_mode)
    except RequestError as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the certificate {module.params['name']}")
    module.exit_json(
        changed=changed,
        arn=current["CertificateArn"] if current else "",
        status=current["Status"] if current else "",
        records=records_of(current) if current else [],
        superseded=superseded,
    )


if __name__ == "__main__":
    main()
