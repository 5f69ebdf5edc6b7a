# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where AWS clients would talk to, and whether that is where they should."""

from __future__ import annotations

import difflib
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.espalier.aws.plugins.module_utils.findings import finding

try:
    from botocore.loaders import create_loader
    from botocore.utils import get_environ_proxies
except ImportError:
    pass  # The module that uses this says so.

# boto3's names of the services that the suite's modules and the sweep talk to.
SERVICES = [
    "sts",
    "ec2",
    "rds",
    "s3",
    "elbv2",
    "autoscaling",
    "iam",
    "ssm",
    "secretsmanager",
    "sns",
    "cloudwatch",
    "logs",
    "acm",
    "wafv2",
    "eks",
    "ecr",
    "kms",
    "resourcegroupstaggingapi",
]
# The domains of the commercial, China and European partitions, and of dual-stack endpoints.
AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn")


def known_regions() -> list[str]:
    """Every region that the installed botocore knows, of every partition; needs no network, no profile and no credentials."""
    partitions = create_loader().load_data("endpoints")["partitions"]
    return sorted(region for partition in partitions for region in partition["regions"])


def check_region(expected: str, actual: str | None) -> list[dict]:
    """The inventory's region exists, and is the one that the play's modules use."""
    known = known_regions()
    if expected not in known:
        near = difflib.get_close_matches(expected, known, n=3)
        fix = f"Set suite_region, for example to {' or '.join(near or ['us-east-1'])}. A newer region needs a newer boto3."
        return [finding("suite_region", expected, "there is no such region.", fix)]
    if actual != expected:
        actual = f"region {actual}" if actual else "no region"
        fix = "Pass AWS_REGION: '{{ suite_region }}' in suite_aws_environment, and no other region."
        return [finding("suite_region", expected, f"the AWS clients would work in {actual}.", fix)]
    return []


def is_own_address(host: str) -> bool:
    """Whether every address of the host is this machine's: a loopback address, or one that a socket can be bound to."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(answers) and all(_is_own(family, address[0]) for family, _type, _protocol, _name, address in answers)


def _is_own(family: int, address: str) -> bool:
    if ipaddress.ip_address(address.split("%")[0]).is_loopback:
        return True
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def is_aws(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and (parts.hostname or "").endswith(AWS_DOMAINS)


def origin(url: str, service_id: str, environment: Mapping[str, str]) -> str:
    """The variable that gave a client its URL, in the order in which amazon.aws and botocore look."""
    own = "AWS_ENDPOINT_URL_" + service_id.replace(" ", "_").upper()
    for name in ("AWS_URL", own, "AWS_ENDPOINT_URL"):
        if environment.get(name) and environment[name].rstrip("/") == url.rstrip("/"):
            return name
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true" and is_aws(url):
        return "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    # AWS itself is where clients go that nothing sends elsewhere.
    return "suite_aws_environment" if is_aws(url) else "AWS_CONFIG_FILE"


def check_urls(urls: Mapping[str, str], service_ids: Mapping[str, str], expected: str, environment: Mapping[str, str]) -> list[dict]:
    """Every client talks to the one expected URL on this machine; with none expected, to AWS itself."""
    if expected:
        wrong = check_local(expected)
        if wrong:
            return wrong
    strays: dict[str, dict[str, list[str]]] = {}
    for name, url in urls.items():
        if url.rstrip("/") == expected.rstrip("/") if expected else is_aws(url):
            continue
        strays.setdefault(origin(url, service_ids[name], environment), {}).setdefault(url, []).append(name)
    return [_stray(variable, environment.get(variable), clients, expected) for variable, clients in strays.items()]


def check_local(url: str) -> list[dict]:
    """The expected URL of a local AWS API is one, is on this machine, and is not reached through a proxy."""
    variable = "suite_aws_endpoint_url"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return [finding(variable, url, "this is no URL.", "Set it to http://127.0.0.1:<port>, or leave it empty for AWS itself.")]
    if not is_own_address(parts.hostname):
        problem = f"the host {parts.hostname} is not this machine, and only a local AWS API may stand in for AWS."
        return [finding(variable, url, problem, "Set it to http://127.0.0.1:<port>, or leave it empty for AWS itself.")]
    if parts.scheme in get_environ_proxies(url):
        name = f"{parts.scheme.upper()}_PROXY"
        # The value may hold the proxy's password.
        return [finding(name, "set", f"calls to {url} would leave this machine through the proxy.", f"Add {parts.hostname} to NO_PROXY.")]
    return []


def _stray(variable: str, value: str | None, clients: dict[str, list[str]], expected: str) -> dict:
    """`clients` are names by the URL that they would talk to."""
    would = "; ".join(f"{', '.join(names)} would talk to {url}" for url, names in clients.items())
    fix = {
        "AWS_CONFIG_FILE": "Remove endpoint_url from the AWS configuration file's profile.",
        "suite_aws_environment": "Pass AWS_ENDPOINT_URL: '{{ suite_aws_endpoint_url }}' in suite_aws_environment.",
    }.get(variable, f"Run: unset {variable}")
    if expected:
        return finding(variable, value, f"{would}, but the inventory allows {expected} only.", fix)
    return finding(variable, value, f"{would}, which is not AWS itself, but the inventory names no other endpoint.", fix)
