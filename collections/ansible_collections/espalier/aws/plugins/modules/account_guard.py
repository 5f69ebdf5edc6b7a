#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: account_guard
short_description: Refuse to work in another AWS account, region or at another endpoint than the inventory names
version_added: 0.1.0
description:
  - Builds a client of every service that the suite uses, exactly as the modules of amazon.aws build theirs, and looks at the URL that it
    would talk to, so that C(AWS_URL), C(AWS_ENDPOINT_URL), C(AWS_ENDPOINT_URL_<SERVICE>), C(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS) and the
    endpoints of an AWS configuration file are all seen.
  - Only when every URL is as expected does it ask STS whose credentials these are, and compares the account.
  - Changes nothing.
options:
  account_id:
    description: The account (12 digits) that the inventory is for.
    type: str
    required: true
  expected_region:
    description:
      - The region that the inventory is for.
      - The common option O(region) stays free, since what is compared is the region that every other module of the play would use.
    type: str
    required: true
  expected_endpoint_url:
    description:
      - The one URL that every service must talk to; its host must be an address of this machine.
      - When empty, every service must talk to AWS itself, over HTTPS.
    type: str
    default: ''
  services:
    description: Names of the boto3 clients that are checked.
    type: list
    elements: str
    default:
      [sts, ec2, rds, s3, elbv2, autoscaling, iam, ssm, secretsmanager, sns, cloudwatch, logs, acm, wafv2, eks, ecr, kms,
       resourcegroupstaggingapi]
  unreachable_fix:
    description: What the operator should do when nothing answers at O(expected_endpoint_url).
    type: str
    default: Start what should answer there, or correct the address.
  report_only:
    description: Return the findings instead of failing, for a caller that collects the findings of several checks.
    type: bool
    default: false
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
- name: Refuse every account but ours
  espalier.aws.account_guard:
    account_id: "123456789012"
    expected_region: us-east-1

- name: Refuse everything but the AWS API of this machine
  espalier.aws.account_guard:
    account_id: "123456789012"
    expected_region: us-east-1
    expected_endpoint_url: http://127.0.0.1:5000
"""

RETURN = r"""
findings:
  description: What is wrong; empty when work may begin.
  returned: always
  type: list
  elements: dict
  contains:
    variable:
      description: What has to be set.
      type: str
    value:
      description: What it is now.
      type: raw
    problem:
      description: What is wrong with it.
      type: str
    fix:
      description: What to do.
      type: str
endpoints:
  description: The URL that each service's client would talk to.
  returned: always
  type: dict
  sample: {"sts": "https://sts.us-east-1.amazonaws.com"}
account_id:
  description: The account of the credentials, null where STS was not asked or did not answer.
  returned: always
  type: str
arn:
  description: Who the credentials are, null where STS was not asked or did not answer.
  returned: always
  type: str
"""

import contextlib
import os

# AnsibleAWSModule says what is missing.
with contextlib.suppress(ImportError):
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils import endpoints
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.findings import finding, render

# AWS's own codes for keys that are not, or no longer, good.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REFUSED = ("InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "AuthFailure", "IncompleteSignature")


def credential_source() -> tuple[str, str | None]:
    """The variable that decides which credentials are used, and its value where that is no secret."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        if os.environ.get(name):
            return name, os.environ[name]
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "AWS_ACCESS_KEY_ID", "set"
    return "AWS_PROFILE", None


def check_caller(client, params: dict) -> tuple[dict, list[dict]]:
    """Ask STS who we are. Only called when every endpoint is as expected."""
    source, value = credential_source()
    try:
        identity = client.get_caller_identity()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in EXPIRED:
            return {}, [
                finding(
                    source, value, f"the credentials have expired ({code}).", "Sign in again (aws sso login), or renew the session token."
                )
            ]
        if code in REFUSED:
            fix = f"Use credentials of account {params['account_id']} that are active in region {params['expected_region']}."
            return {}, [finding(source, value, f"AWS does not accept the credentials ({code}).", fix)]
        raise
    except BotoCoreError as error:
        return {}, [explain(error, params)]
    if identity["Account"] == params["account_id"]:
        return identity, []
    problem = f"the inventory is for this account, but the credentials ({source}) are of account {identity['Account']}: {identity['Arn']}."
    fix = f"Set AWS_PROFILE to a profile of account {params['account_id']}, or correct suite_account_id."
    return identity, [finding("suite_account_id", params["account_id"], problem, fix)]


def explain(error: Exception, params: dict) -> dict:
    """One finding for what botocore says before any service answered."""
    source, value = credential_source()
    kind = type(error).__name__
    if kind == "NoRegionError":
        return finding(
            "suite_region", params["expected_region"], "no region reaches the AWS clients.", "Pass AWS_REGION in suite_aws_environment."
        )
    if kind in (
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "ProxyConnectionError",
        "SSLError",
    ):
        local = params["expected_endpoint_url"]
        variable = "suite_aws_endpoint_url" if local else "suite_region"
        fix = params["unreachable_fix"] if local else "Check this machine's way to the internet, its proxy variables and the region's name."
        return finding(variable, local or params["expected_region"], f"STS cannot be reached: {error}", fix)
    if kind == "NoCredentialsError":
        fix = "Set AWS_PROFILE to a profile of the inventory's account, or sign in: aws sso login."
        return finding(source, value, "no AWS credentials were found.", fix)
    return finding(
        source,
        value,
        f"the AWS credentials cannot be loaded: {error}",
        "Correct the profile in the AWS configuration files, or sign in: aws sso login.",
    )


def inspect(module) -> dict:
    params = module.params
    result: dict = {"findings": [], "endpoints": {}, "account_id": None, "arn": None}
    if params["profile"] and (params["access_key"] or params["secret_key"] or params["session_token"]):
        problem = "a profile and access keys are both set, and it would be unclear which of them is meant."
        result["findings"] = [
            finding("AWS_PROFILE", params["profile"], problem, "Unset AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret and token.")
        ]
        return result
    result["findings"] += endpoints.check_region(params["expected_region"], module.region)
    if result["findings"]:
        return result
    try:
        # botocore's default (a minute, five attempts) would let an unreachable address look like a hang.
        clients = make_clients(module, params["services"], connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    except (BotoCoreError, ValueError) as error:
        result["findings"] = [explain(error, params)]
        return result
    result["endpoints"] = {name: client.meta.endpoint_url for name, client in clients.items()}
    service_ids = {name: client.meta.service_model.service_id for name, client in clients.items()}
    result["findings"] += endpoints.check_urls(result["endpoints"], service_ids, params["expected_endpoint_url"], os.environ)
    if not result["findings"]:
        identity, result["findings"] = check_caller(clients["sts"], params)
        result.update(account_id=identity.get("Account"), arn=identity.get("Arn"))
    return result


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "account_id": {"type": "str", "required": True},
            "expected_region": {"type": "str", "required": True},
            "expected_endpoint_url": {"type": "str", "default": ""},
            "services": {"type": "list", "elements": "str", "default": endpoints.SERVICES},
            "unreachable_fix": {"type": "str", "default": "Start what should answer there, or correct the address."},
            "report_only": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if "sts" not in module.params["services"]:
        module.fail_json(msg="services must contain sts: it says whose credentials these are.")
    try:
        result = inspect(module)
    except ClientError as error:
        module.fail_json_aws(error, msg="STS did not say whose credentials these are")
    if result["findings"] and not module.params["report_only"]:
        module.fail_json(msg=render(result["findings"]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
