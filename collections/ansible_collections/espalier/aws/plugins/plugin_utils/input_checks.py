# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be wrong with the inputs' values, seen without asking AWS.

A check takes inputs (name and value of a variable) and returns findings. A value of a wrong type is no concern of a
check: the argument specs have said so already, and the check stays silent.
"""

from __future__ import annotations

import difflib
import ipaddress
import keyword
import re
import shutil
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from ansible_collections.espalier.aws.plugins.module_utils.check_table import Input
from ansible_collections.espalier.aws.plugins.module_utils.findings import finding


class NameRule(NamedTuple):
    """What AWS accepts as a name. The pattern is matched against the whole name."""

    kind: str
    longest: int
    pattern: str
    says: str
    shortest: int = 1


# From the API references of each service (2026-11).
NAME_RULES = {
    "alarm": NameRule("alarm", 255, r".+", "any characters"),
    "autoscaling_group": NameRule("auto scaling group", 255, r"[^:]+", "no colon"),
    "bucket": NameRule(
        "S3 bucket",
        63,
        r"(?!xn--|sthree-|amzn-s3-demo-)(?!.*(-s3alias|--ol-s3|--x-s3|--table-s3)$)[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        "lower-case letters, digits and hyphens, a letter or digit at both ends, and none of AWS's reserved prefixes and suffixes",
        3,
    ),
    "cluster": NameRule("EKS cluster", 100, r"[A-Za-z0-9][A-Za-z0-9_-]*", "letters, digits, _ and -, not beginning with _ or -"),
    "database": NameRule("PostgreSQL database", 63, r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and underscores, beginning with a letter"),
    "database_user": NameRule(
        "PostgreSQL user",
        63,
        r"(?!(admin|rdsadmin|rdsrepladmin)$|rds_|pg_)[A-Za-z][A-Za-z0-9_]*",
        "letters, digits and underscores, and no reserved word",
    ),
    "db_instance": NameRule(
        "DB instance", 63, r"(?!.*--)[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?", "letters, digits and single hyphens, beginning with a letter"
    ),
    "db_subnet_group": NameRule("DB subnet group", 255, r"(?!default$)[a-z0-9 ._-]+", "lower-case letters, digits, spaces, . _ -"),
    "iam_role": NameRule("IAM role", 64, r"[A-Za-z0-9+=,.@_-]+", "letters, digits and + = , . @ _ -"),
    "kms_alias": NameRule("KMS alias", 250, r"(?!aws/)[A-Za-z0-9/_-]+", "letters, digits and / _ -, not beginning with aws/"),
    "launch_template": NameRule("launch template", 128, r"[A-Za-z0-9()./_-]+", "letters, digits and ( ) . / _ -", 3),
    "load_balancer": NameRule(
        "load balancer",
        32,
        r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?",
        "letters, digits and hyphens, beginning and ending with a letter or digit and not beginning with internal-",
    ),
    "log_group": NameRule("log group", 512, r"(?!aws/)[A-Za-z0-9._/#-]+", "letters, digits and . _ / # -"),
    "node_group": NameRule("EKS node group", 63, r"[A-Za-z0-9][A-Za-z0-9_-]*", "letters, digits, _ and -, not beginning with _ or -"),
    "parameter": NameRule(
        "SSM parameter", 1011, r"(?!/?(?i:aws|ssm))(/?[A-Za-z0-9._-]+){1,16}", "letters, digits and . _ - /, not beginning with aws or ssm"
    ),
    "repository": NameRule(
        "ECR repository",
        256,
        r"[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*",
        "lower-case letters and digits, with single . _ - / inside",
        2,
    ),
    "secret": NameRule("secret", 512, r"[A-Za-z0-9/_+=.@-]+", "letters, digits and / _ + = . @ -"),
    "security_group": NameRule(
        "security group", 255, r"(?!sg-)[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]+", "letters, digits and punctuation, not beginning with sg-"
    ),
    "target_group": NameRule("target group", 32, r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", "letters, digits and hyphens inside"),
    "topic": NameRule("SNS topic", 256, r"[A-Za-z0-9_-]+", "letters, digits, underscores and hyphens"),
    "waf_log_group": NameRule(
        "log group of AWS WAF", 512, r"aws-waf-logs-[A-Za-z0-9._/#-]+", "aws-waf-logs- and letters, digits and . _ / # -"
    ),
}

# Of what the names of an environment are made; each service's own rule is checked on the whole name.
WORD = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
EMAIL = re.compile(r"[^@\s,;<>\"]+@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
HOST_NAME = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOMENT = re.compile(rf"(?:({'|'.join(WEEKDAYS)}):)?([01]\d|2[0-3]):([0-5]\d)")
DAY = 24 * 60  # minutes
GIT_ADDRESS = re.compile(r"(https?|ssh|git|file)://\S+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:\S+")


def environment(environment: Input, project: Input) -> list[dict]:
    """The words that names are made of."""
    findings = []
    for word in (environment, project):
        if word.value is None:
            findings.append(finding(word.name, None, "every name and tag is made with it.", f"Set {word.name}, for example to staging."))
        elif not WORD.fullmatch(str(word.value)) or "--" in str(word.value):
            problem = "it is part of names such as the S3 bucket's, and must be lower-case letters, digits and single hyphens inside."
            suggestion = re.sub(r"[^a-z0-9]+", "-", str(word.value).lower()).strip("-")
            fix = f"Set {word.name} to a word such as {suggestion if WORD.fullmatch(suggestion) else 'staging'}."
            findings.append(finding(word.name, word.value, problem, fix))
    return findings


def account_id(account: Input) -> list[dict]:
    if not account.value:
        return [
            finding(
                account.name,
                None,
                "without it, nothing says which account this is for.",
                f"Set {account.name} in the inventory, in quotes.",
            )
        ]
    if isinstance(account.value, str) and re.fullmatch(r"\d{12}", account.value):
        return []
    problem = "an AWS account id is a string of 12 digits (without quotes YAML reads a number, and may read it as octal)."
    return [finding(account.name, account.value, problem, f'Write it in quotes, as in {account.name}: "123456789012".')]


def names(environment: Input, account: Input, names: dict[str, Input]) -> list[dict]:
    """Names that AWS would refuse. A name that is too long for its environment's sake is the environment's finding."""
    # What they are made of has a finding of its own then.
    if not WORD.fullmatch(str(environment.value)) or account_id(account):
        return []
    findings, too_long = [], []
    for kind, name in names.items():
        rule = NAME_RULES[kind.split(":")[0]]
        if not isinstance(name.value, str):
            continue
        if len(name.value) > rule.longest and environment.value in name.value:
            too_long.append(
                (len(name.value) - rule.longest, f"{rule.kind} {name.value} ({len(name.value)} characters, at most {rule.longest})")
            )
        elif not rule.shortest <= len(name.value) <= rule.longest or not re.fullmatch(rule.pattern, name.value):
            problem = f"AWS refuses it as the name of a {rule.kind}: {rule.shortest} to {rule.longest} characters, {rule.says}."
            findings.append(finding(name.name, name.value, problem, f"Set {name.name} to such a name."))
    if too_long:
        allowed = len(environment.value) - max(excess for excess, _text in too_long)
        problem = f"it makes names that are too long: {'; '.join(text for _excess, text in too_long)}."
        fix = (
            f"Use at most {allowed} characters in {environment.name}." if allowed > 0 else f"Shorten {environment.name} and suite_project."
        )
        findings.append(finding(environment.name, environment.value, problem, fix))
    return findings


def _network(text: object) -> ipaddress.IPv4Network | str:
    """The network, or what is wrong with it."""
    try:
        return ipaddress.IPv4Network(str(text))
    except ValueError as error:
        if "host bits" in str(error):
            return f"{text} has host bits set; its network is {ipaddress.IPv4Network(str(text), strict=False)}"
        return f"{text} is no IPv4 network such as 10.0.0.0/16"


def _size_problem(network: ipaddress.IPv4Network) -> str | None:
    # VPCs and subnets alike: Amazon VPC user guide, "VPC CIDR blocks".
    return None if 16 <= network.prefixlen <= 28 else f"{network} must be between /16 and /28"


def network(vpc: Input, subnets: list[Input], zones: Input) -> list[dict]:
    """CIDR blocks: valid, of a size that AWS accepts, inside the VPC, apart from each other, one a zone in each tier."""
    findings, accepted = [], []
    whole = _network(vpc.value)
    wrong = whole if isinstance(whole, str) else _size_problem(whole)
    if wrong:
        findings.append(finding(vpc.name, vpc.value, f"{wrong}.", f"Set {vpc.name} to a network such as 10.0.0.0/16."))
    for tier in subnets:
        if not isinstance(tier.value, list):
            continue
        if isinstance(zones.value, list) and len(tier.value) != len(zones.value):
            problem = f"it has {len(tier.value)} CIDR blocks for {len(zones.value)} availability zones ({zones.name})."
            findings.append(finding(tier.name, tier.value, problem, f"Give {tier.name} one CIDR block for each zone, in the zones' order."))
        for block in tier.value:
            subnet = _network(block)
            wrong = subnet if isinstance(subnet, str) else _size_problem(subnet)
            if not wrong and not isinstance(whole, str) and not subnet.subnet_of(whole):
                wrong = f"{subnet} is not inside the VPC's {whole} ({vpc.name})"
            if wrong:
                findings.append(finding(tier.name, tier.value, f"{wrong}.", f"Correct the CIDR block in {tier.name}."))
            else:
                accepted.append((tier, subnet))
    for (one, left), (other, right) in combinations(accepted, 2):
        if left.overlaps(right):
            where = one.name if one.name == other.name else f"{one.name} or {other.name}"
            problem = f"{left} overlaps {right}{f' of {other.name}' if one.name != other.name else ''}."
            findings.append(finding(one.name, one.value, problem, f"Change one of the two, in {where}."))
    return findings


def zones(zones: Input, region: Input) -> list[dict]:
    """Two or more different zones of the region; whether AWS has them is asked later."""
    if not isinstance(zones.value, list):
        return []
    findings = []
    if len(set(zones.value)) < 2 or len(set(zones.value)) != len(zones.value):
        problem = "a load balancer and a DB subnet group need two different availability zones."
        findings.append(finding(zones.name, zones.value, problem, f"Set {zones.name} to two zones of the region."))
    strangers = [zone for zone in zones.value if not str(zone).startswith(str(region.value))]
    if strangers:
        problem = f"{', '.join(map(str, strangers))} cannot be in region {region.value} ({region.name})."
        findings.append(
            finding(zones.name, zones.value, problem, f"Set {zones.name} to zones of {region.value}, or correct {region.name}.")
        )
    return findings


def ordered(values: list[Input]) -> list[dict]:
    """Numbers that must not decrease from one to the next, such as min, desired, max."""
    findings = []
    numbers = [value for value in values if isinstance(value.value, (int, float)) and not isinstance(value.value, bool)]
    for position, number in enumerate(numbers):
        smaller = [other for other in numbers[position + 1 :] if other.value < number.value]
        if smaller:
            problem = f"it is more than {' and '.join(f'{other.name} ({other.value})' for other in smaller)}."
            most, others = min(other.value for other in smaller), " and ".join(other.name for other in smaller)
            fix = f"Set {number.name} to at most {most}, or raise {others}."
            findings.append(finding(number.name, number.value, problem, fix))
    return findings


def below(smaller: Input, larger: Input) -> list[dict]:
    """A number that must be less than another, such as a health check's timeout and its interval."""
    if not (isinstance(smaller.value, (int, float)) and isinstance(larger.value, (int, float))) or smaller.value < larger.value:
        return []
    return [
        finding(
            smaller.name,
            smaller.value,
            f"it must be less than {larger.name} ({larger.value}).",
            f"Set {smaller.name} below {larger.value}.",
        )
    ]


def same(values: list[Input]) -> list[dict]:
    """Variables of several roles that mean one thing."""
    first, *others = values
    findings = []
    for other in others:
        if None not in (first.value, other.value) and first.value != other.value:
            problem = f"it must be the same as {first.name} ({first.value})."
            findings.append(finding(other.name, other.value, problem, f"Set both {first.name} and {other.name} to one value."))
    return findings


def found_by_name(prefix: Input, names: dict[str, Input]) -> list[dict]:
    """Names that a role lets choose, and that the suite finds its resources by; each with the end that it looks for."""
    return [
        finding(
            name.name,
            name.value,
            f"the suite finds it by the name {prefix.value}-{end}; under another one, no run and no doctor sees that it is there.",
            f"Leave {name.name} alone: names follow suite_environment and suite_project.",
        )
        for end, name in names.items()
        if name.value not in (None, f"{prefix.value}-{end}")
    ]


def contains(whole: Input, parts: list[Input]) -> list[dict]:
    """A list of one role that has to hold what other roles make."""
    missing = [part for part in parts if isinstance(whole.value, list) and part.value is not None and part.value not in whole.value]
    return [
        finding(whole.name, whole.value, f"{part.value} ({part.name}) is missing in it.", f"Add {part.value} to {whole.name}.")
        for part in missing
    ]


def between(value: Input, least: int, most: int, zero: bool = False) -> list[dict]:
    """A number within limits that AWS sets, or 0 where that means off (literals of the table)."""
    if not isinstance(value.value, (int, float)) or isinstance(value.value, bool) or least <= value.value <= most:
        return []
    if zero and value.value == 0:
        return []
    fix = f"Set {value.name} to a number from {least} to {most}{', or to 0 for none' if zero else ''}."
    return [finding(value.name, value.value, f"AWS accepts {least} to {most}.", fix)]


def email(address: Input, enabled: Input | None = None) -> list[dict]:
    """An address that can get mail, unless what needs it is switched off."""
    switch = f", or {enabled.name} to false" if enabled else ""
    if enabled and enabled.value is False:
        return []
    if not address.value:
        problem = f"{enabled.name if enabled else address.name} is on, and without an e-mail address nobody would hear of it."
        return [finding(address.name, address.value or None, problem, f"Set {address.name} to an address that people read{switch}.")]
    addresses = address.value if isinstance(address.value, list) else [address.value]
    wrong = [str(one) for one in addresses if not EMAIL.fullmatch(str(one)) or len(str(one)) > 254]
    if not wrong:
        return []
    return [
        finding(address.name, address.value, f"{', '.join(wrong)} is no e-mail address.", f"Set {address.name} to name@domain{switch}.")
    ]


def budget_alerts(actual: Input, forecast: Input, enabled: Input) -> list[dict]:
    """Percents of a budget, each of which becomes a notification: five in a budget, and none twice."""
    if enabled.value is False:
        return []
    lists = [one for one in (actual, forecast) if isinstance(one.value, list)]
    findings = []
    for one in lists:
        if len(set(one.value)) < len(one.value) or any(percent < 1 for percent in one.value):
            problem = "AWS takes percents of 1 and more, and each only once."
            findings.append(finding(one.name, one.value, problem, f"Correct {one.name}, for example to [80, 100]."))
    count = sum(len(one.value) for one in lists)
    if count > 5:
        problem = f"with {forecast.name} ({forecast.value}) there are {count} alerts, and a budget has five at most."
        findings.append(finding(actual.name, actual.value, problem, f"Leave {count - 5} out of {actual.name} or {forecast.name}."))
    return findings


def host_names(domains: Input, zone: Input) -> list[dict]:
    """Names that a zone of Route 53 can hold and ACM certifies; nothing to say without a zone."""
    if not zone.value:
        return []
    findings = []
    if not domains.value:
        problem = f"{zone.name} is {zone.value}, and no host name would be served."
        findings.append(finding(domains.name, None, problem, f"Set app_domains, for example to [www.{zone.value}]."))
    suffix = str(zone.value).rstrip(".").lower()
    wrong = [name for name in domains.value or [] if not HOST_NAME.fullmatch(str(name))]
    strangers = [name for name in domains.value or [] if name not in wrong and name != suffix and not str(name).endswith(f".{suffix}")]
    if wrong:
        fix = "Use lower-case names such as www.example.com or *.example.com (.example.com in app_domains)."
        findings.append(finding(domains.name, domains.value, f"{', '.join(map(str, wrong))} is no host name.", fix))
    if strangers:
        problem = f"{', '.join(strangers)} is not in the zone {suffix}, so no certificate could be validated for it."
        fix = f"Leave it out, or bring a certificate of your own (load_balancer_certificate_arn) and leave {zone.name} empty."
        findings.append(finding(domains.name, domains.value, problem, fix))
    # ACM's quota of names in one certificate, which AWS raises on request; the first is the common name, of 64 characters at most.
    if len(domains.value or []) > 10:
        findings.append(finding(domains.name, domains.value, "ACM takes 10 names in a certificate.", "Use *.name for all of one level."))
    return findings


def second_region(region: Input, second: Input, retention_days: Input) -> list[dict]:
    """Where backups are copied to; empty is nowhere."""
    if not second.value:
        return []
    if not REGION.fullmatch(str(second.value)):
        return [finding(second.name, second.value, "this is no region of AWS.", f"Set {second.name} to a region such as us-west-2.")]
    if second.value == region.value:
        problem = f"this is {region.name} itself, and a copy beside the original is lost with it."
        return [finding(second.name, second.value, problem, f"Set {second.name} to another region, or leave it empty.")]
    if retention_days.value == 0:
        problem = f"{retention_days.name} is 0: there are no backups to copy."
        return [finding(second.name, second.value, problem, f"Set {retention_days.name} to 1 or more, or leave {second.name} empty.")]
    return []


def _moment(text: str, weekly: bool) -> int | None:
    """Minutes after midnight, of Monday where the text begins with a day."""
    match = MOMENT.fullmatch(text)
    if not match or bool(match[1]) != weekly:
        return None
    return WEEKDAYS.index(match[1] or "mon") * DAY + int(match[2]) * 60 + int(match[3])


def database_windows(backup: Input, maintenance: Input) -> list[dict]:
    """When RDS makes backups (each day) and changes (each week): half an hour at least, and not both at once."""
    findings, windows = [], []
    for window, weekly, example in ((backup, False, "03:00-03:30"), (maintenance, True, "sun:04:30-sun:05:30")):
        begin, end = (_moment(text, weekly) for text in str(window.value).lower().partition("-")[::2])
        if begin is None or end is None:
            findings.append(
                finding(window.name, window.value, "RDS cannot read this.", f"Set {window.name} to times (UTC) as in {example}.")
            )
            continue
        length = (end - begin) % (7 * DAY if weekly else DAY)
        if length < 30:
            findings.append(finding(window.name, window.value, "RDS wants half an hour or more.", f"Let {window.name} end later."))
        windows.append((begin, length))
    if findings:
        return findings
    (daily, daily_length), (weekly, weekly_length) = windows
    # The daily one comes round every day, so the weekday is of no concern.
    if (daily - weekly) % DAY < weekly_length or (weekly - daily) % DAY < daily_length:
        problem = f"it overlaps {maintenance.name} ({maintenance.value}), which RDS refuses."
        return [finding(backup.name, backup.value, problem, f"Move {backup.name} or {maintenance.name}.")]
    return []


def kubernetes_version(version: Input) -> list[dict]:
    """Major and minor, as EKS has them; a number would lose a zero."""
    if isinstance(version.value, str) and re.fullmatch(r"1\.\d{2}", version.value):
        return []
    problem = "EKS's Kubernetes versions are strings such as 1.35 (without quotes YAML reads a number)."
    return [finding(version.name, version.value, problem, f'Write it in quotes, as in {version.name}: "1.35".')]


def endpoint_access(public: Input, private: Input, cidr_blocks: Input, enabled: Input) -> list[dict]:
    """Somebody has to reach the API server, and somebody has to say who."""
    if enabled.value is False:
        return []
    if public.value is False:
        if private.value is not False:
            return []
        problem = "the API server could be reached from nowhere."
        return [finding(private.name, private.value, problem, f"Set {private.name} or {public.name} to true.")]
    blocks = cidr_blocks.value if isinstance(cidr_blocks.value, list) else []
    if not blocks:
        problem = "nobody would reach the API server from the internet, this run included."
        fix = f"Set {cidr_blocks.name} to your networks, for example [192.0.2.10/32], or {public.name} to false and run inside the VPC."
        return [finding(cidr_blocks.name, cidr_blocks.value, problem, fix)]
    wrong = [network for network in map(_network, blocks) if isinstance(network, str)]
    if wrong:
        return [finding(cidr_blocks.name, cidr_blocks.value, f"{'; '.join(wrong)}.", f"Correct {cidr_blocks.name}.")]
    return []


def kms_key_arn(arn: Input, region: Input) -> list[dict]:
    """EKS takes a key by its ARN, of its own region."""
    if not arn.value or re.fullmatch(rf"arn:aws[a-z-]*:kms:{re.escape(str(region.value))}:\d{{12}}:key/[A-Za-z0-9-]+", str(arn.value)):
        return []
    problem = f"this is no ARN of a KMS key in {region.value}."
    fix = f"Set {arn.name} to arn:aws:kms:{region.value}:<account>:key/<id>, or leave it empty for a key of the suite's own."
    return [finding(arn.name, arn.value, problem, fix)]


def storage_driver(size: Input, storage_class: Input, driver: Input, enabled: Input) -> list[dict]:
    """A volume on EBS needs the cluster's driver; whoever names a class brings one."""
    if enabled.value is False or not size.value or storage_class.value or driver.value is not False:
        return []
    problem = f"Prometheus would wait for its volume for ever: the cluster has no driver for EBS ({driver.name} is false)."
    fix = f"Set {driver.name} to true, name a storage class of your own in {storage_class.name}, or set {size.name} to 0."
    return [finding(size.name, size.value, problem, fix)]


def helm(enabled: Input) -> list[dict]:
    """What installs a chart is on this machine."""
    if enabled.value is False or shutil.which("helm"):
        return []
    problem = "the application's chart is installed by helm, which is not on this machine's PATH."
    return [finding(enabled.name, enabled.value, problem, f"Run bin/setup, install Helm, or set {enabled.name} to false.")]


def _identifiers(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def wsgi_path(path: Input) -> list[dict]:
    """`package.module:attribute`, as Gunicorn takes it."""
    text = str(path.value or "")
    module, colon, attribute = text.partition(":")
    if colon and module and attribute and _identifiers(module) and _identifiers(attribute):
        return []
    problem = "a WSGI path names a Python module, a colon and the application in it."
    near = "mysite.wsgi:application"
    if not colon and _identifiers(text) and text:
        near = f"{text}:application" if not text.endswith(".application") else f"{text.removesuffix('.application')}:application"
    elif text.removesuffix(":application").endswith(".py"):
        near = text.removesuffix(":application").removesuffix(".py").strip("./").replace("/", ".") + ":application"
    return [finding(path.name, path.value, problem, f"Set {path.name} to something like {near}.")]


def dotted_module(module: Input) -> list[dict]:
    """A module's dotted name, such as Django's settings module."""
    text = str(module.value or "")
    if text and _identifiers(text):
        return []
    near = text.removesuffix(".py").strip("./").replace("/", ".")
    near = near if near and _identifiers(near) else "mysite.settings"
    return [
        finding(module.name, module.value, "this is no dotted name of a Python module.", f"Set {module.name} to something like {near}.")
    ]


def source(repository: Input, path: Input) -> list[dict]:
    """Where the project comes from: a Git repository or a folder of the controller."""
    if repository.value:
        if GIT_ADDRESS.fullmatch(str(repository.value)) or Path(str(repository.value)).is_dir():
            return []
        problem = "this is no address of a Git repository, and no folder of this machine either."
        return [finding(repository.name, repository.value, problem, f"Set {repository.name} to https://host/owner/project.git or a path.")]
    if not path.value:
        problem = f"neither {repository.name} nor {path.name} says where the Django project is."
        return [
            finding(
                repository.name, None, problem, f"Set {repository.name} to a Git repository, or {path.name} to a folder of this machine."
            )
        ]
    if not Path(str(path.value)).is_dir():
        return [
            finding(
                path.name, path.value, "there is no such folder on this machine.", f"Set {path.name} to the folder of the Django project."
            )
        ]
    return []


def known_tags(tags: Input, known: Input) -> list[dict]:
    """Tags of a run that name a part of it. With one that names none, Ansible does nothing and reports success."""
    strangers = [tag for tag in tags.value if tag not in {"all", "always", "tagged", *known.value}]
    if not strangers:
        return []
    near = difflib.get_close_matches(strangers[0], known.value, n=1)
    fix = f"{f'Did you mean {near[0]}? ' if near else ''}There are {', '.join(known.value)}; name tags of your own in {known.name}."
    return [finding("--tags", ",".join(tags.value), f"nothing has the tag {', '.join(strangers)}.", fix)]


CHECKS = {
    function.__name__: function
    for function in (
        account_id,
        below,
        between,
        budget_alerts,
        contains,
        database_windows,
        dotted_module,
        email,
        endpoint_access,
        environment,
        found_by_name,
        helm,
        host_names,
        kms_key_arn,
        known_tags,
        kubernetes_version,
        names,
        network,
        ordered,
        same,
        second_region,
        source,
        storage_driver,
        wsgi_path,
        zones,
    )
}
