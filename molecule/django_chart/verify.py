"""Asked of the Kubernetes API and of Helm: what the role has put there, and what is left when it is removed."""

from __future__ import annotations

import base64
import json

import pytest

from tests.molecule.fixtures import kubernetes

EXPECTED = {"defaults": ("django-app", "django-app", "django-app"), "altered": ("shop", "shops", "shop-secrets")}


@pytest.fixture
def names(account) -> tuple[str, str, str]:
    """Release, namespace and Secret."""
    return EXPECTED[account.environment]


def get(*arguments: str) -> dict:
    return json.loads(kubernetes("kubectl", "get", *arguments, "--output", "json"))


def test_the_release_is_deployed(names):
    release, namespace, _ = names
    (found,) = json.loads(kubernetes("helm", "list", "--namespace", namespace, "--output", "json"))
    assert (found["name"], found["status"]) == (release, "deployed")


def test_the_image_is_the_one_that_was_built(account, names):
    release, namespace, _ = names
    deployment = get("deployment", release, "--namespace", namespace)
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"registry.example.com/django-app@sha256:{'4f53' if account.environment == 'defaults' else '8f43'}")


def test_the_namespace_enforces_a_standard(account, names):
    labels = get("namespace", names[1])["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == ("restricted" if account.environment == "defaults" else "baseline")


def test_the_secret_holds_what_secrets_manager_does(account, names):
    _, namespace, secret = names
    data = {
        name: base64.b64decode(value).decode() for name, value in get("secret", secret, "--namespace", namespace).get("data", {}).items()
    }
    if account.environment == "defaults":
        assert data == {}
        return
    assert set(data) == {"DJANGO_SECRET_KEY", "RDS_USERNAME", "RDS_PASSWORD", "DATABASE_URL"}
    assert data["RDS_PASSWORD"] == "a/b@c" and data["DATABASE_URL"].startswith("postgresql://postgres:a%2Fb%40c@db.example.com:5432/")
    assert data["DATABASE_URL"].endswith("sslmode=verify-full")


def test_pods_have_the_authorities_of_the_database(account, names):
    release, namespace, _ = names
    spec = get("deployment", release, "--namespace", namespace)["spec"]["template"]["spec"]
    mounted = [volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume]
    if account.environment == "defaults":
        assert mounted == []
        return
    told = {entry["name"]: entry.get("value", "") for entry in spec["containers"][0]["env"]}
    assert told["RDS_SSLMODE"] == "verify-full" and told["PGSSLROOTCERT"].endswith("/ca.pem")
    (data,) = [get("configmap", name, "--namespace", namespace)["data"] for name in mounted]
    assert data["ca.pem"].splitlines()[1] == "scenario"


def test_no_secret_is_a_value_of_the_release(names):
    release, namespace, _ = names
    for what in ("values", "manifest"):
        told = kubernetes("helm", "get", what, release, "--namespace", namespace)
        assert "a/b@c" not in told and "only on paper" not in told
        assert base64.b64encode(b"a/b@c").decode() not in told


def test_values_arrive(account, names):
    release, namespace, _ = names
    scaler = get("horizontalpodautoscaler", release, "--namespace", namespace)
    assert scaler["spec"]["maxReplicas"] == (5 if account.environment == "defaults" else 8)
    (container,) = get("deployment", release, "--namespace", namespace)["spec"]["template"]["spec"]["containers"]
    hosts = {entry["name"]: entry.get("value", "") for entry in container["env"]}["DJANGO_ALLOWED_HOSTS"]
    assert hosts == ("" if account.environment == "defaults" else "www.example.com")


def test_the_digest_of_the_chart_is_there(names):
    release, namespace, _ = names
    assert len(get("deployment", release, "--namespace", namespace)["metadata"]["annotations"]["espalier/chart-digest"]) == 12


def test_gone(names):
    assert names[1] not in {one["metadata"]["name"] for one in get("namespaces")["items"]}
