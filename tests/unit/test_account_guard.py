"""The account guard: whose credentials, which region, and which URL every client would really talk to."""

from __future__ import annotations

import os
import socket

import pytest
import yaml
from ansible_collections.espalier.aws.plugins.module_utils import endpoints
from moto import mock_aws
from moto.server import ThreadedMotoServer

from tests.unit.run_module import run_module

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
SERVICES = ["sts", "s3", "rds", "elbv2", "secretsmanager"]  # fewer than the default, for speed


@pytest.fixture(autouse=True)
def shell(monkeypatch, tmp_path):
    """A shell with good keys and nothing else that AWS clients read."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "EC2_")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k2n8v5")
    return monkeypatch


@pytest.fixture
def guard(capsys):
    def run(**options):
        options = {"account_id": ACCOUNT, "expected_region": REGION, "report_only": True, "services": SERVICES, **options}
        return run_module(capsys, "account_guard", **options)

    return run


@pytest.fixture(scope="module")
def local_aws():
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@mock_aws
def test_our_account_passes(guard):
    result = guard(services=endpoints.SERVICES)
    assert result["findings"] == []
    assert result["account_id"] == ACCOUNT
    assert result["changed"] is False
    assert result["endpoints"]["rds"] == "https://rds.us-east-1.amazonaws.com"


@mock_aws
def test_another_account_is_refused(guard):
    (found,) = guard(account_id="999999999999")["findings"]
    assert found["variable"] == "suite_account_id"
    assert ACCOUNT in found["problem"]
    assert "AWS_PROFILE" in found["fix"]


@mock_aws
def test_a_failure_shows_every_part(guard):
    result = guard(account_id="999999999999", report_only=False)
    assert result["failed"]
    for part in ("suite_account_id", "999999999999", ACCOUNT, "Fix:", "nothing was changed"):
        assert part in result["msg"]


@mock_aws
def test_a_region_that_the_clients_would_not_use_is_refused(guard):
    (found,) = guard(expected_region="eu-west-1")["findings"]
    assert (found["variable"], found["value"]) == ("suite_region", "eu-west-1")
    assert REGION in found["problem"]


def test_an_unknown_region_is_refused_without_a_call(guard, shell):
    shell.setenv("AWS_REGION", "us-esat-1")
    (found,) = guard(expected_region="us-esat-1")["findings"]
    assert found["variable"] == "suite_region"
    assert "us-east-1" in found["fix"]


@pytest.mark.parametrize(
    ("variable", "services"),
    [
        ("AWS_ENDPOINT_URL", "sts"),
        ("AWS_ENDPOINT_URL_S3", "s3"),
        ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "elbv2"),
        ("AWS_URL", "sts"),
    ],
)
def test_a_stray_endpoint_is_refused_for_aws_itself(guard, shell, variable, services):
    shell.setenv(variable, "http://127.0.0.1:9")
    (found,) = guard()["findings"]
    assert (found["variable"], found["value"]) == (variable, "http://127.0.0.1:9")
    assert found["problem"].startswith(services)
    assert found["fix"] == f"Run: unset {variable}"


def test_a_stray_endpoint_in_a_configuration_file_is_refused(guard, shell, tmp_path):
    (tmp_path / "config").write_text(
        "[default]\nservices = odd\n[services odd]\nsecrets_manager =\n  endpoint_url = http://10.1.2.3:4566\n"
    )
    (found,) = guard()["findings"]
    assert found["variable"] == "AWS_CONFIG_FILE"
    assert "secretsmanager would talk to http://10.1.2.3:4566" in found["problem"]


def test_aws_without_tls_is_not_aws(guard, shell):
    shell.setenv("AWS_ENDPOINT_URL_RDS", "http://rds.us-east-1.amazonaws.com")
    assert guard()["findings"][0]["variable"] == "AWS_ENDPOINT_URL_RDS"


def test_the_local_api_passes(guard, shell, local_aws):
    shell.setenv("AWS_ENDPOINT_URL", local_aws)
    result = guard(expected_endpoint_url=local_aws)
    assert result["findings"] == []
    assert set(result["endpoints"].values()) == {local_aws}


def test_the_local_api_refuses_a_service_that_goes_elsewhere(guard, shell, local_aws):
    shell.setenv("AWS_ENDPOINT_URL", local_aws)
    shell.setenv("AWS_ENDPOINT_URL_RDS", "http://192.0.2.1:4566")
    (found,) = guard(expected_endpoint_url=local_aws)["findings"]
    assert found["variable"] == "AWS_ENDPOINT_URL_RDS"


def test_the_local_api_refuses_aws_itself(guard, shell, local_aws):
    shell.setenv("AWS_ENDPOINT_URL", local_aws)
    shell.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    result = guard(expected_endpoint_url=local_aws)
    assert result["account_id"] is None, "STS of AWS itself must not be asked"
    assert {found["variable"] for found in result["findings"]} == {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"}


@pytest.mark.parametrize("url", ["http://192.0.2.1:4566", "http://8.8.8.8", "http://no-such-host.invalid:4566"])
def test_a_local_api_on_another_machine_is_refused(guard, shell, url):
    shell.setenv("AWS_ENDPOINT_URL", url)
    (found,) = guard(expected_endpoint_url=url)["findings"]
    assert found["variable"] == "suite_aws_endpoint_url"
    assert "not this machine" in found["problem"]


def test_a_local_api_through_a_proxy_is_refused(guard, shell, local_aws):
    shell.setenv("AWS_ENDPOINT_URL", local_aws)
    shell.setenv("HTTP_PROXY", "http://user:hidden@proxy.example:3128")
    (found,) = guard(expected_endpoint_url=local_aws)["findings"]
    assert found["variable"] == "HTTP_PROXY"
    assert "hidden" not in str(found)


def test_nothing_listens(guard, shell):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        shell.setenv("AWS_ENDPOINT_URL", url)
        (found,) = guard(expected_endpoint_url=url, unreachable_fix="Start it.")["findings"]
    assert (found["variable"], found["value"], found["fix"]) == ("suite_aws_endpoint_url", url, "Start it.")


def test_no_credentials(guard, shell):
    shell.delenv("AWS_ACCESS_KEY_ID")
    shell.delenv("AWS_SECRET_ACCESS_KEY")
    (found,) = guard()["findings"]
    assert (found["variable"], found["value"]) == ("AWS_PROFILE", None)
    assert "no AWS credentials" in found["problem"]


def test_half_of_the_credentials(guard, shell):
    shell.delenv("AWS_SECRET_ACCESS_KEY")
    (found,) = guard()["findings"]
    assert found["variable"] == "AWS_ACCESS_KEY_ID"


def test_a_profile_that_does_not_exist(guard, shell):
    shell.delenv("AWS_ACCESS_KEY_ID")
    shell.delenv("AWS_SECRET_ACCESS_KEY")
    shell.setenv("AWS_PROFILE", "nobody")
    (found,) = guard()["findings"]
    assert (found["variable"], found["value"]) == ("AWS_PROFILE", "nobody")


def test_a_profile_and_keys_together(guard, shell):
    shell.setenv("AWS_PROFILE", "nobody")
    (found,) = guard()["findings"]
    assert "both set" in found["problem"]


@pytest.mark.parametrize(("code", "word"), [("ExpiredToken", "expired"), ("InvalidClientTokenId", "does not accept")])
def test_bad_credentials(guard, monkeypatch, code, word):
    import botocore.client
    from botocore.exceptions import ClientError

    def refuse(self, operation, arguments):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
    (found,) = guard()["findings"]
    assert found["variable"] == "AWS_ACCESS_KEY_ID"
    assert word in found["problem"]
    assert found["value"] == "set"


def test_the_documented_services_are_the_default():
    from ansible_collections.espalier.aws.plugins.modules import account_guard

    documented = yaml.safe_load(account_guard.DOCUMENTATION)["options"]
    assert documented["services"]["default"] == endpoints.SERVICES
