"""What the lab answers the API servers of its clusters and their pods."""

from __future__ import annotations

import base64
import json

import pytest

from lab.kubernetes import gateway
from lab.settings import Settings

ISSUER = "https://oidc.example/id/1"
CLUSTER = {"name": "one", "address": "10.0.10.4", "issuer": ISSUER, "pod_identities": [["monitoring", "prometheus"]]}
CREDENTIALS = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", "AccountId": "1", "Expiration": "2026-01-01T00:00:00Z"}


class Part(gateway.ClusterGateway):
    """With an account that answers from a dictionary."""

    def __init__(self, tmp_path, **answers) -> None:
        super().__init__(Settings(state=tmp_path))
        self.answers = {"eks_model": {"clusters": [CLUSTER]}, **answers}
        self.asked: list[tuple[str, dict]] = []

    def call(self, name: str, /, **body):
        self.asked.append((name, body))
        return self.answers[name]


def review(**spec) -> dict:
    return {"apiVersion": "authentication.k8s.io/v1beta1", "spec": spec}


def pod_review(namespace: str, account: str = "prometheus") -> dict:
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"serviceAccountName": account, "containers": [{"name": "web"}]}}
    return {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u", "namespace": namespace, "object": pod}}


def test_the_bearer_of_a_token_is_named_in_the_version_that_was_asked(tmp_path):
    found = {"username": "jane", "uid": "1", "groups": ["g"]}
    part = Part(tmp_path, eks_authenticate=found)
    answer = part.review_token("one", review(token="k8s-aws-v1.x"))
    assert answer["apiVersion"] == "authentication.k8s.io/v1beta1"
    assert answer["status"] == {"authenticated": True, "user": found}
    assert part.asked == [("eks_authenticate", {"name": "one", "token": "k8s-aws-v1.x"})]


def test_a_refused_token_is_nobodys(tmp_path):
    answer = Part(tmp_path, eks_authenticate={"refused": "expired"}).review_token("one", review(token="x"))
    assert answer["status"] == {"authenticated": False, "error": "expired"}


@pytest.mark.parametrize(
    ("namespace", "account", "patched"), [("monitoring", "prometheus", True), ("monitoring", "other", False), ("x", "prometheus", False)]
)
def test_only_a_pod_with_an_identity_is_changed(tmp_path, namespace, account, patched):
    answer = Part(tmp_path).admit_pod("one", pod_review(namespace, account))["response"]
    assert answer["allowed"] is True
    assert ("patch" in answer) is patched


def test_readiness_gates_come_from_what_the_ingress_controller_wrote(tmp_path):
    part = Part(tmp_path)
    assert "patch" not in part.admit_target("one", pod_review("web"))["response"]
    folder = tmp_path / "kubernetes" / "one"
    folder.mkdir(parents=True)
    (folder / "gates.json").write_text(json.dumps([{"namespace": "web", "selector": {"app": "web"}, "condition": "c"}]))
    patch = json.loads(base64.b64decode(part.admit_target("one", pod_review("web"))["response"]["patch"]))
    assert patch == [{"op": "add", "path": "/spec/readinessGates", "value": [{"conditionType": "c"}]}]


class ApiServer:
    """Answers token reviews."""

    status: dict

    def __init__(self, *arguments) -> None:
        pass

    def request(self, method: str, path: str, body: dict) -> dict:
        assert body["spec"]["audiences"] == ["pods.eks.amazonaws.com"]
        return {"status": self.status}


def token(issuer: str = ISSUER) -> str:
    return f"h.{base64.urlsafe_b64encode(json.dumps({'iss': issuer}).encode()).decode().rstrip('=')}.s"


def reviewed(username: str = "system:serviceaccount:monitoring:prometheus", **more) -> type:
    status = {
        "authenticated": True,
        "audiences": ["pods.eks.amazonaws.com"],
        "user": {"username": username, "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]}},
    }
    return type("Server", (ApiServer,), {"status": {**status, **more}})


def test_a_pod_gets_its_credentials(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "ApiClient", reviewed())
    part = Part(tmp_path, eks_pod_credentials=CREDENTIALS)
    assert part.credentials(token()) == (200, CREDENTIALS)
    body = {"name": "one", "namespace": "monitoring", "service_account": "prometheus", "pod": "prometheus-0"}
    assert part.asked[-1] == ("eks_pod_credentials", body)


@pytest.mark.parametrize(
    "server",
    [reviewed(authenticated=False), reviewed(audiences=["https://kubernetes.default.svc"]), reviewed("system:node:one")],
)
def test_no_credentials_for_a_token_that_is_not_for_this(tmp_path, monkeypatch, server):
    monkeypatch.setattr(gateway, "ApiClient", server)
    assert Part(tmp_path, eks_pod_credentials=CREDENTIALS).credentials(token())[0] == 400


def test_no_credentials_for_another_clusters_token(tmp_path):
    assert Part(tmp_path).credentials(token("https://other"))[0] == 400


def test_no_credentials_without_an_association(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "ApiClient", reviewed())
    assert Part(tmp_path, eks_pod_credentials={"refused": "none"}).credentials(token()) == (404, {"message": "none"})
