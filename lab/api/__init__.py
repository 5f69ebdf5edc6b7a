"""The AWS API: moto, and what it lacks or does otherwise than AWS.

Each addition is a module of this package with

- `install() -> None`, which patches moto before the first request, and optionally
- `ROUTES: dict[str, Callable[[dict], dict]]`, the lab's own control routes: what AWS's API never tells (a database's
  password) or what only a controller can know (a target's health). Served as `/_lab/<name>`, to loopback only,
  called with `lab.control.call`.
"""

ADDITIONS = (
    "ec2",
    "images",
    "vpc",
    "autoscaling",
    "ssm",
    "rds",
    "rds_parameters",
    "rds_insights",
    "rds_replication",
    "elbv2",
    "s3",
    "acm",
    "route53",
    "wafv2",
    "budgets",
    "sns",
    "cloudwatch",
    "firewall",
    "secrets",
    "cloudfront",
    "eks",
    "ecr",
    "kms",
    "quotas",
    "rights",
)
