"""The client that an instance has for AWS: its signatures against botocore's, its answers, and a birth from end to end of its script."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
import urllib.error
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.tree import ROOT

AWS = ROOT / "roles" / "django" / "files" / "espalier_aws.py"
BIRTH = ROOT / "roles" / "user_data" / "files" / "espalier_birth.py"
KEYS = {"Code": "Success", "AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": "token"}
METADATA = {
    "meta-data/placement/region": "us-east-1",
    "meta-data/services/domain": "amazonaws.com",
    "meta-data/instance-id": "i-0123456789abcdef0",
    "meta-data/iam/security-credentials/": "role",
    "meta-data/iam/security-credentials/role": json.dumps(KEYS),
}


def load(path: Path, name: str):
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def client(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    module = load(AWS, "espalier_aws")
    monkeypatch.setattr(module, "metadata", lambda path, tries=5: METADATA[path])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    yield module
    del sys.modules["espalier_aws"]


@pytest.mark.parametrize(
    ("service", "auth", "method", "host", "path", "body", "extra"),
    [
        ("s3", S3SigV4Auth, "GET", "bucket.s3.us-east-1.amazonaws.com", "/releases/django-app/v1.2%2B3/release.tar.gz", b"", {}),
        ("s3", S3SigV4Auth, "PUT", "bucket.s3.us-east-1.amazonaws.com", "/births/i-0.log", b"log", {"Content-Type": "text/plain"}),
        ("ssm", SigV4Auth, "POST", "ssm.us-east-1.amazonaws.com", "/", b"{}", {"X-Amz-Target": "AmazonSSM.GetParameter"}),
    ],
)
def test_signatures_are_botocores(client, service, auth, method, host, path, body, extra):
    head = client.Aws().sign(service, method, f"https://{host}", path, body, extra)
    signature = head.pop("authorization").rpartition("Signature=")[2]
    request = AWSRequest(method, f"https://{host}{path}", data=body, headers=head)
    request.context.update(timestamp=head["x-amz-date"], payload_signing_enabled=True)
    signer = auth(Credentials("AKID", "secret", "token"), service, "us-east-1")
    assert signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request) == signature


def test_the_endpoint_is_awss_own_unless_the_environment_names_one(client, monkeypatch):
    aws = client.Aws()
    assert aws.address("s3", "bucket") == ("https://bucket.s3.us-east-1.amazonaws.com", "")
    assert aws.address("ssm") == ("https://ssm.us-east-1.amazonaws.com", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.1:4566/")
    assert aws.address("s3", "bucket") == ("http://10.0.0.1:4566", "/bucket")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ('{"__type": "com.amazon.ssm#ParameterNotFound"}', "ParameterNotFound"),
        ('{"__type": "ParameterNotFound"}', "ParameterNotFound"),
        ("<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        ("", ""),
    ],
)
def test_awss_own_word_for_an_error(client, words, code):
    assert client.code_of(words) == code


def test_refusals_are_final_and_outages_are_waited_for(client, monkeypatch):
    answers = []

    def answer(request, timeout):
        status, body = answers.pop(0)
        if status == 200:
            return io.BytesIO(body)
        raise urllib.error.HTTPError(request.full_url, status, "", {}, io.BytesIO(body))

    monkeypatch.setattr(client.urllib.request, "urlopen", answer)
    answers[:] = [(503, b""), (400, b'{"__type": "ThrottlingException"}'), (200, b'{"Parameter": {"Value": "v1"}}')]
    assert client.Aws().parameter("/DjangoApp/release") == "v1"
    answers[:] = [(400, b'{"__type": "ParameterNotFound"}'), (200, b"")]
    with pytest.raises(client.AwsError) as refused:
        client.Aws().parameter("/DjangoApp/release")
    assert refused.value.code == "ParameterNotFound"
    assert len(answers) == 1


class Account:
    """What an instance can ask for."""

    def __init__(self) -> None:
        self.pointers, self.objects, self.asked = [], {}, []

    def parameter(self, name):
        version = self.pointers.pop(0) if len(self.pointers) > 1 else self.pointers[0]
        if version is None:
            raise sys.modules["espalier_aws"].AwsError("no such parameter", "ParameterNotFound")
        return version

    def get_object(self, bucket, key, to=None):
        if to is None:
            return self.objects[key]
        return Path(to).write_bytes(self.objects[key])

    def put_object(self, bucket, key, data):
        self.objects[key] = data

    def query(self, service, version, action, **fields):
        self.asked.append((action, fields["LifecycleActionResult"], fields["InstanceId"]))


@pytest.fixture
def birth(client, tmp_path, monkeypatch):
    """The script on a machine, beside its orders, with a bundle whose program notes the releases that it was given."""
    orders = {"parameter": "/DjangoApp/release", "bucket": "bucket", "group": "lab-django-asg", "hook": "lab-django-birth"}
    (tmp_path / "birth.json").write_text(json.dumps(orders))
    (tmp_path / BIRTH.name).write_text(BIRTH.read_text())
    module = load(tmp_path / BIRTH.name, "espalier_birth")
    monkeypatch.setattr(module, "metadata", METADATA.__getitem__)
    account = Account()
    program = b"import sys, pathlib\nwith open(pathlib.Path(sys.argv[2]).with_name('runs'), 'a') as f: f.write(sys.argv[3] + '\\n')\n"
    record = {"variables": {"django_name": "shop"}}
    for part, content in (("roles", {"playbooks/bundle/configure.py": program}), ("wheels", {"wheels/3.11.txt": b""})):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, data in content.items():
                information = tarfile.TarInfo(name)
                information.size = len(data)
                archive.addfile(information, io.BytesIO(data))
        key = f"bundles/{part}-0123.tar.gz"
        account.objects[key] = packed.getvalue()
        record[part] = {"key": key, "digest": module.hashlib.sha256(packed.getvalue()).hexdigest()}
    account.objects["bundles/current.json"] = json.dumps(record).encode()
    module.account, module.runs = account, tmp_path / "runs"
    return module


def test_a_birth_runs_the_bundle_and_completes_its_hook(birth):
    birth.account.pointers = ["v1"]
    birth.configure(birth.account)
    assert birth.runs.read_text() == "v1\n"
    assert birth.account.asked == [("CompleteLifecycleAction", "CONTINUE", "i-0123456789abcdef0")]


def test_a_pointer_that_moves_meanwhile_is_followed_before_the_hook_is_completed(birth):
    birth.account.pointers = ["v1", "v2"]
    birth.configure(birth.account)
    assert birth.runs.read_text() == "v1\nv2\n"
    assert len(birth.account.asked) == 1


def test_without_a_release_the_instance_is_in_service_without_an_application(birth, capsys):
    birth.account.pointers = [None]
    birth.configure(birth.account)
    assert not birth.runs.exists()
    assert [what[1] for what in birth.account.asked] == ["CONTINUE"]
    assert "no release yet" in capsys.readouterr().out


def test_a_bundle_that_is_not_what_it_says_is_not_run(birth):
    birth.account.pointers = ["v1"]
    birth.account.objects["bundles/roles-0123.tar.gz"] += b"?"
    with pytest.raises(Exception, match="digest"):
        birth.configure(birth.account)
    assert not birth.runs.exists()
    assert birth.account.asked == []


def test_giving_up_keeps_the_log_and_abandons(birth, tmp_path):
    (tmp_path / "log").write_text("why")
    birth.abandon(birth.account, tmp_path / "log")
    assert birth.account.objects["births/i-0123456789abcdef0.log"] == b"why"
    assert [what[1] for what in birth.account.asked] == ["ABANDON"]


def test_without_a_hook_that_waits_nothing_fails(birth, capsys):
    def nobody_waits(*arguments, **fields):
        raise sys.modules["espalier_aws"].AwsError("No active Lifecycle Action found with instance ID i-0", "ValidationError")

    birth.account.query = nobody_waits
    birth.complete(birth.account, "CONTINUE")
    assert "no launch hook waits" in capsys.readouterr().out
