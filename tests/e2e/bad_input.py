"""Input that must be refused before the first change, and what the refusal must say: the variable, the value, the fix."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BadInput:
    """`words` all stand in the message."""

    name: str
    options: tuple[str, ...]
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def extra(variable: str, value: str, *words: str, name: str = "") -> BadInput:
    return BadInput(name or f"{variable}={value}", ("-e", f"{variable}={value}"), (variable, value, *words))


def structured(name: str, variables: str, *words: str) -> BadInput:
    return BadInput(name, ("-e", variables), words)


# Nobody's credentials: no variable, no file, no metadata service.
NO_CREDENTIALS = {
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}

BAD_INPUTS = [
    extra("vpc_cidr_block", "10.0.0.0/99", name="CIDR that is none"),
    structured(
        "overlapping subnets",
        '{"vpc_public_subnet_cidr_blocks": ["10.0.1.0/24", "10.0.1.128/25"]}',
        "vpc_public_subnet_cidr_blocks",
        "overlap",
    ),
    extra("suite_region", "us-esat-1", name="unknown region"),
    extra("suite_environment", "Lab_One", name="environment that makes an illegal bucket name"),
    extra("alarms_email", "", name="alarms without an address"),
    structured("min greater than max", '{"autoscaling_min_size": 5}', "autoscaling_min_size", "autoscaling_max_size", "5"),
    structured(
        "nodes: min greater than desired",
        '{"suite_cluster": true, "eks_node_min_size": 3}',
        "eks_node_min_size (3)",
        "eks_node_desired_size",
    ),
    structured(
        "a cluster that nobody reaches",
        '{"suite_cluster": true, "eks_endpoint_public_cidr_blocks": []}',
        "eks_endpoint_public_cidr_blocks",
        "192.0.2.10/32",
    ),
    structured("Kubernetes version that is none", '{"suite_cluster": true, "eks_version": "1.4"}', "eks_version", "1.4", "1.35"),
    extra("app_wsgi", "mysite/wsgi.py", name="WSGI path that cannot be"),
    extra("suite_account_id", "999999999999", "123456789012", name="another account"),
    extra("suite_aws_endpoint_url", "https://ec2.us-east-1.amazonaws.com", name="lab endpoint outside this machine"),
    extra("autoscaling_mim_size", "2", "autoscaling_min_size", name="misspelt variable"),
    BadInput(
        "endpoint of one service that is not the lab's", (), ("AWS_ENDPOINT_URL_EC2",), {"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:9"}
    ),
    BadInput("no credentials", ("-i", "inventories/staging"), ("AWS_PROFILE", "credentials"), NO_CREDENTIALS),
    BadInput(
        "real inventory with a stray endpoint",
        ("-i", "inventories/staging"),
        ("AWS_ENDPOINT_URL (http://127.0.0.1:9)", "unset AWS_ENDPOINT_URL"),
        # With credentials, so that the inventory itself would ask.
        {
            **NO_CREDENTIALS,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "not-a-key",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        },
    ),
]
