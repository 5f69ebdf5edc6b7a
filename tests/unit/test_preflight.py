"""ansible-playbook site.yml with bad input: one message with everything in it, and not one call that writes before it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from urllib.parse import parse_qs

import pytest
from moto.eks.models import EKSBackend
from moto.eks.responses import EKSResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from lab.api import eks
from tests.tree import ROOT
from tests.unit.moto_patches import client, patched

READS = ("Describe", "Get", "List", "Head")


class Api:
    """moto behind a recorder of the operations that are asked for."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
        # S3 speaks in methods.
        self.operations.append(target or action or environ["REQUEST_METHOD"].capitalize())
        return self.moto(environ, start_response)

    @property
    def writes(self) -> list[str]:
        return [name for name in self.operations if not name.startswith(READS)]


@pytest.fixture(scope="module")
def api():
    # moto's EKS does not say which versions it creates.
    with patched(eks, EKSBackend, EKSResponse):
        api = Api()
        yield api
        api.server.shutdown()


def site(api: Api, *options: str, **environment: str) -> str:
    """The output of a run that has to fail."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    command = ["ansible-playbook", "-i", "inventories/lab/hosts.yml", "site.yml", "-e", f"suite_aws_endpoint_url={api.url}", *options]
    done = subprocess.run(command, cwd=ROOT, env=shell | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0, done.stdout
    assert api.writes == []
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_everything_that_is_wrong_is_said_at_once(api):
    bad = {
        "vpc_cidr_block": "10.0.0.0/99",
        "suite_environment": "Lab_One",
        "alarms_email": "",
        "autoscaling_min_size": 5,
        "autoscaling_mim_size": 2,
        "app_wsgi": "mysite/wsgi.py",
        "app_settings_module": "my-site.settings",
        "app_path": "/no/such/folder",
        "alarms_cpu_percent": "many",
        "suite_account_id": "999999999999",
        "app_health_path": "/alive",
        "database_identifier": "shop-postgres",
        "database_maintenance_window": "sun:03:15-sun:04:15",
        "vpc_flow_log_retention_days": 101,
        "waf_rate_limit": 9,
    }
    options = [part for name, value in bad.items() for part in ("-e", f"{name}={value}")]
    output = site(api, *options)
    for name, value in bad.items():
        assert name in output, name
        assert str(value) in output, value
    for fix in ("Did you mean autoscaling_min_size?", "mysite.wsgi:application", "at most 2", "a word such as lab-one", "123456789012"):
        assert fix in output, fix


def test_a_stray_endpoint_of_the_shell(api):
    output = site(api, AWS_ENDPOINT_URL_S3="http://192.0.2.1:4566")
    assert "AWS_ENDPOINT_URL_S3 (http://192.0.2.1:4566)" in output
    assert "unset AWS_ENDPOINT_URL_S3" in output


def test_an_endpoint_on_another_machine(api):
    output = site(api, "-e", "suite_aws_endpoint_url=http://192.0.2.1:4566")
    assert "suite_aws_endpoint_url (http://192.0.2.1:4566)" in output
    assert "not this machine" in output


def test_an_unknown_region(api):
    output = site(api, "-e", "suite_region=us-esat-1")
    assert "suite_region (us-esat-1)" in output
    assert "us-east-1" in output


def test_a_tag_that_names_nothing(api):
    output = site(api, "--tags", "netwrk")
    assert "--tags (netwrk): nothing has the tag netwrk." in output and "Did you mean network?" in output


def cluster(api: Api, **variables) -> str:
    """Also where the lab of this clone has no Kubernetes."""
    return site(api, "--tags", "cluster", "-e", json.dumps({"suite_cluster": True, **variables}))


def test_a_cluster_that_cannot_be_had(api):
    bad = {"eks_version": "1.12", "eks_node_instance_types": ["t9.nano"], "eks_node_min_size": 3, "eks_endpoint_public_cidr_blocks": []}
    output = cluster(api, **bad)
    assert "eks_node_min_size (3): it is more than eks_node_desired_size" in output
    assert "eks_endpoint_public_cidr_blocks" in output and "192.0.2.10/32" in output
    assert "EKS creates no cluster of this version" in output and "1.35" in output
    output = cluster(api, eks_version=1.30, eks_node_instance_types=["t9.nano"])
    assert "eks_version (1.3)" in output and 'eks_version: "1.35"' in output
    output = cluster(api, eks_node_instance_types=["t9.nano"], eks_kms_key_arn="alias/mine")
    assert "eks_node_instance_types (t9.nano): there is no such instance type" in output
    assert "eks_kms_key_arn (alias/mine): this is no ARN of a KMS key" in output


def test_a_cluster_of_somebody_else(api):
    tags = {"Project": "django", "Environment": "production"}
    network = {"subnetIds": [subnet["SubnetId"] for subnet in client("ec2").describe_subnets()["Subnets"][:2]]}
    role = "arn:aws:iam::123456789012:role/cluster"
    client("eks").create_cluster(name="django-app", roleArn=role, resourcesVpcConfig=network, tags=tags)
    output = cluster(api)
    assert "eks_name (django-app): this cluster of the account belongs to environment production" in output


def test_zones_that_aws_does_not_have_and_an_application_without_an_instance(api):
    bad = {"suite_availability_zones": ["us-east-1a", "us-east-1q"], "database_backup_region": "us-west-9"}
    cdn = {"cdn_enabled": True, "cdn_aliases": ["static.example.com"]}
    output = site(api, "--tags", "app", "-e", json.dumps(bad | cdn))
    assert "DescribeAvailabilityZones" in api.operations, "the recorder records nothing"
    assert "us-east-1q is no availability zone" in output
    assert "no running instance" in output
    assert "--tags compute,app" in output
    assert "database_backup_region (us-west-9)" in output
    assert "cdn_certificate_arn" in output and "static.example.com" in output
