# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clients for modules that ask many services at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

# AnsibleAWSModule says what is missing.
with contextlib.suppress(ImportError):
    import boto3.session
    from botocore.config import Config

from ansible_collections.amazon.aws.plugins.module_utils.botocore import get_aws_connection_info


def make_clients(module: Any, services: Iterable[str], **config: Any) -> dict[str, Any]:
    """A client for each service, out of one session, which reads the SDK's data once; to be called before threads start.

    Credentials, profile, region and endpoint are found as the modules of amazon.aws find them; "acm@us-east-1" is one of another
    region. `config` are settings of botocore's Config.
    """
    region, endpoint_url, options = get_aws_connection_info(module)
    merged = Config(**config).merge(options.pop("aws_config", None) or Config())
    session = boto3.session.Session(profile_name=options.pop("profile_name", None))
    return {
        name: session.client(service, region_name=elsewhere or region, endpoint_url=endpoint_url, config=merged, **options)
        for name, (service, _at, elsewhere) in ((name, name.partition("@")) for name in services)
    }


def settled(answers: Mapping[str, Future[Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was answered, and in a line each why the rest was not: a part that cannot be looked at must not hide the others."""
    known, unknown = {}, {}
    for name, answer in answers.items():
        try:
            known[name] = answer.result()
        # Whatever it is: a missing right, a service that is away, an answer that nobody has thought of.
        except Exception as error:
            unknown[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return known, unknown
