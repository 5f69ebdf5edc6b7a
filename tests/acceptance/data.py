"""Seed: Database; Storage, secrets, parameters."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from lab.podman import containers, podman
from tests.acceptance.system import System, only, tags_of

# The master's, the application's own, Django's key.
SECRETS = ("django-db-credentials", "django-app-db-credentials", "django-secret-key")


def check_database(system: System) -> None:
    database = system.database()
    expected = {
        "Engine": "postgres",
        "DBInstanceStatus": "available",
        "DBInstanceClass": "db.t3.micro",
        "AllocatedStorage": 100,
        "StorageType": "gp2",
        "MultiAZ": True,
        "BackupRetentionPeriod": 7,
        "AutoMinorVersionUpgrade": True,
        "DBName": "postgresDB",
        "MasterUsername": "postgres",
        "PubliclyAccessible": False,
    }
    assert {key: database.get(key) for key in expected} == expected
    major, minor = map(int, database["EngineVersion"].split(".")[:2])
    assert major == 16 and minor >= 4, f"{database['EngineVersion']}: 16.4 is the floor"
    assert database["Endpoint"]["Port"] == 5432
    assert database["PreferredMaintenanceWindow"]
    assert tags_of(database).get("ManagedBy") == "espalier"


def check_database_is_in_its_subnets(system: System) -> None:
    database = system.database()
    subnets = {subnet["SubnetIdentifier"] for subnet in database["DBSubnetGroup"]["Subnets"]}
    assert subnets == {subnet["SubnetId"] for subnet in system.subnets("database")}
    assert [group["VpcSecurityGroupId"] for group in database["VpcSecurityGroups"]] == [system.security_group("database")["GroupId"]]


def check_static_bucket(system: System) -> None:
    name = f"{system.environment}-django-static-{system.account_id}"
    check_bucket_is_private(system, name)
    tags = {tag["Key"]: tag["Value"] for tag in system.client("s3").get_bucket_tagging(Bucket=name)["TagSet"]}
    assert tags.get("ManagedBy") == "espalier"


def check_session_bucket(system: System) -> None:
    """What Session Manager's file transfer leaves behind is gone after a day, and has no older versions."""
    name = f"{system.environment}-django-session-{system.account_id}"
    check_bucket_is_private(system, name)
    s3 = system.client("s3")
    assert s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [rule["Expiration"]["Days"] for rule in rules if rule["Status"] == "Enabled" and "Expiration" in rule] == [1]


def check_bucket_is_private(system: System, name: str) -> None:
    s3 = system.client("s3")
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    encryption = only(s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"], "encryption rule")
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")


def check_secrets(system: System) -> None:
    credentials = json.loads(system.secret("django-db-credentials"))
    assert credentials["username"] == "postgres"
    application = json.loads(system.secret("django-app-db-credentials"))
    assert application["username"] in ("django_a", "django_b")
    # Counted outside the assert: pytest would print the value of a failed comparison.
    lengths = len(credentials["password"]), len(application["password"]), len(system.secret("django-secret-key"))
    assert min(lengths[:2]) >= 20 and lengths[2] >= 50, f"lengths of passwords and key: {lengths}"
    different = credentials["password"] != application["password"]
    assert different
    for name in SECRETS:
        described = system.client("secretsmanager").describe_secret(SecretId=name)
        assert tags_of(described).get("Environment") == system.environment


def check_parameter(system: System) -> None:
    parameter = system.client("ssm").get_parameter(Name="/DjangoApp/rds_endpoint")["Parameter"]
    endpoint = system.database()["Endpoint"]
    assert parameter["Value"] == endpoint["Address"]
    tags = system.client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId="/DjangoApp/rds_endpoint")["TagList"]
    assert {"Key": "Environment", "Value": system.environment} in tags


def check_no_secret_in_a_parameter(system: System) -> None:
    passwords = [json.loads(system.secret(name))["password"] for name in SECRETS[:2]]
    for page in (
        system.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/DjangoApp", Recursive=True, WithDecryption=True)
    ):
        leaking = [entry["Name"] for entry in page["Parameters"] if any(password in entry["Value"] for password in passwords)]
        assert not leaking


def database_address() -> str:
    """Where the lab's database listens: its endpoint's name resolves inside the lab network only."""
    container = only(containers("database"), "database container")
    answer = podman("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container["Id"])
    return answer.stdout.decode().strip()


def from_an_instance(system: System, ask: Callable[[], None]) -> None:
    """Ask from where the security groups let somebody in: a thread of this process, in the network of an application instance."""
    instance = system.instances("app")[0]["InstanceId"]
    pid = podman("inspect", "--format", "{{.State.Pid}}", f"espalier-instance-{instance}").stdout.decode().strip()

    def inside() -> None:
        with open(f"/proc/{pid}/ns/net") as network:
            os.setns(network.fileno(), os.CLONE_NEWNET)
        ask()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(inside).result()


def check_database_speaks_tls(system: System) -> None:
    """The handshake of PostgreSQL's protocol: 8 bytes of SSLRequest, then `S`, then TLS."""
    if system.endpoint_url is None:
        pytest.skip("the database of real AWS is reached from its VPC only")
    address = database_address()
    from_an_instance(system, lambda: speaks_tls(address))


def speaks_tls(address: str) -> None:
    with socket.create_connection((address, 5432), timeout=10) as plain:
        plain.sendall(struct.pack("!ii", 8, 80877103))
        assert plain.recv(1) == b"S", "the database refuses TLS"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(plain) as secured:
            assert secured.version() in ("TLSv1.2", "TLSv1.3")


def check_database_refuses_plain_text(system: System) -> None:
    """As RDS does from PostgreSQL 15 on (rds.force_ssl = 1)."""
    if system.endpoint_url is None:
        pytest.skip("the database of real AWS is reached from its VPC only")
    address = database_address()
    from_an_instance(system, lambda: refuses_plain_text(address))


def refuses_plain_text(address: str) -> None:
    with socket.create_connection((address, 5432), timeout=10) as plain:
        options = b"user\0postgres\0database\0postgresDB\0\0"
        plain.sendall(struct.pack("!ii", 8 + len(options), 196608) + options)
        answer = plain.recv(4096)
    assert answer[:1] == b"E", f"expected an error, got message {answer[:1]!r}"
    assert b"no encryption" in answer or b"SSL" in answer


def check_deleted_names_are_free(system: System) -> None:
    """A secret in its recovery window blocks its name: after a build none of ours may be in one."""
    for name in SECRETS:
        try:
            described = system.client("secretsmanager").describe_secret(SecretId=name)
        except ClientError as error:
            raise AssertionError(f"{name}: {error}") from error
        assert "DeletedDate" not in described
