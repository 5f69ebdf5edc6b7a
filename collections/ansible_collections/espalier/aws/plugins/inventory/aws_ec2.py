# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of one environment, in groups by their tag Role."""

from __future__ import annotations

DOCUMENTATION = r"""
name: aws_ec2
short_description: The running EC2 instances of one environment
description:
  - Lists instances with amazon.aws.aws_ec2's own code and the few options that a suite needs. Hosts are named by their instance id.
  - It says nothing when all is well (amazon.aws.aws_ec2 11 warns in every run of a host variable C(tags), which is not set here),
    and one sentence when the endpoint does not answer.
  - Without credentials that AWS accepts it warns and lists nothing, so that a playbook's own checks can say what is wrong. It does the same
    where a variable of the shell (C(AWS_ENDPOINT_URL) and its like) or an AWS configuration file sends it elsewhere than to AWS, and
    O(endpoint_url) is not set in the inventory file.
  - Keys that are given beat the shell's C(AWS_PROFILE), even one that does not exist.
author:
  - The Espalier authors
extends_documentation_fragment:
  - constructed
  - amazon.aws.boto3
  - amazon.aws.common.plugins
  - amazon.aws.region.plugins
  - amazon.aws.assume_role.plugins
options:
  regions:
    description: Regions to look in.
    type: list
    elements: str
    required: true
  filters:
    description: EC2's own filters, names to values.
    type: dict
    required: true
  unreachable_hint:
    description: What to do when the endpoint does not answer; added to the message.
    type: str
    default: ""
"""

EXAMPLES = r"""
plugin: espalier.aws.aws_ec2
regions:
  - us-east-1
filters:
  tag:Project: django
  tag:Environment: staging
  instance-state-name: running
keyed_groups:
  - key: ec2_tags.Role
    separator: ""
"""

import os

from ansible.errors import AnsibleParserError
from ansible_collections.amazon.aws.plugins.inventory.aws_ec2 import InventoryModule as StockInventory
from ansible_collections.amazon.aws.plugins.plugin_utils.inventory import AWSInventoryBase
from ansible_collections.espalier.aws.plugins.module_utils.endpoints import check_urls
from ansible_collections.espalier.aws.plugins.plugin_utils.aws_profile import shell_profile_hidden
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ProfileNotFound, TokenRetrievalError

REFUSALS = ("AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired", "UnrecognizedClientException")


class NotAskedError(Exception):
    """AWS accepts no credentials that there are, or it is not AWS that would be asked."""


class InventoryModule(StockInventory):
    """The query and the host variables are the parent's."""

    NAME = "espalier.aws.aws_ec2"

    def client(self, *arguments, **options):
        with shell_profile_hidden(bool(self.get_option("access_key") and self.get_option("secret_key"))):
            client = super().client(*arguments, **options)
        self.refuse_stray_endpoint(client)
        return client

    def refuse_stray_endpoint(self, client):
        endpoint_url, origin = self.get_option_and_origin("endpoint_url")
        # Not out of AWS_URL, which the option reads, too.
        if endpoint_url and origin == "Direct":
            return
        for found in check_urls({"ec2": client.meta.endpoint_url}, {"ec2": client.meta.service_model.service_id}, "", os.environ):
            raise NotAskedError(f"{found['variable']} ({found['value']}): {found['problem']} {found['fix']}")

    def parse(self, inventory, loader, path, cache=True):
        # Not the parent's own: it deprecates options that are not here.
        AWSInventoryBase.parse(self, inventory, loader, path, cache=cache)
        try:
            found = self._query(self.get_option("regions"), [self.get_option("filters")], [], True, False)
        except NotAskedError as refusal:
            self.warn(f"{path} lists no instance: {refusal}")
            found = {}
        self._populate(found, ["instance-id"])

    @property
    def route53_enabled(self) -> bool:
        return False

    def iter_entry(self, *arguments, **options):
        for name, variables in super().iter_entry(*arguments, **options):
            variables.pop("tags", None)
            yield name, variables

    def fail_aws(self, message, exception=None):
        if isinstance(exception, EndpointConnectionError):
            endpoint = self.get_option("endpoint_url") or "AWS"
            raise AnsibleParserError(f"No answer from {endpoint}. {self.get_option('unreachable_hint')}".strip()) from None
        refused = isinstance(exception, ClientError) and exception.response["Error"]["Code"] in REFUSALS
        if refused or isinstance(exception, (NoCredentialsError, ProfileNotFound, TokenRetrievalError)):
            raise NotAskedError(str(exception)) from None
        super().fail_aws(message, exception)
