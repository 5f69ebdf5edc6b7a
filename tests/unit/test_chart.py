"""helm/django-app: lint, every values file rendered and asked of Kubernetes' schemas, and what the parts have to say to each other."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading

import pytest
import yaml

from tests.tree import ROOT, VENV_BIN, load_yaml
from tests.unit.manifests import NEWEST, OLDEST, careless, check_schema, pod_spec, unrestricted

CHART = ROOT / "helm" / "django-app"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
DATABASE = ("--set", "database.host=db.example.com")


def helm(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    executable = shutil.which("helm", path=f"{VENV_BIN}:{os.environ['PATH']}")
    assert executable, "helm is not there: bin/setup fetches it"
    done = subprocess.run([executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def render(*arguments: object) -> dict[str, dict]:
    """Manifests by kind; the chart has one of each, beside its hooks."""
    documents = [document for document in yaml.safe_load_all(helm("template", "django-app", CHART, *arguments).stdout) if document]
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    return found


def pod(found: dict[str, dict]) -> dict:
    return found["Deployment"]["spec"]["template"]["spec"]


def environment(spec: dict) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}


def test_files_that_people_look_for():
    names = {
        "Chart.yaml", "values.yaml", "values.schema.json", ".helmignore", "charts/.gitkeep", "templates/deployment.yaml",
        "templates/service.yaml", "templates/ingress.yaml", "templates/hpa.yaml", "templates/serviceaccount.yaml",
        "templates/_helpers.tpl", "templates/NOTES.txt", "templates/tests/test-connection.yaml",
    }  # fmt: skip
    assert not [name for name in names if not (CHART / name).is_file()]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_lint(values):
    helm("lint", "--strict", CHART, "--values", values)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_manifests_are_what_kubernetes_takes(values, version):
    for document in render("--values", values, "--kube-version", version).values():
        check_schema(document, version)
        spec = pod_spec(document)
        assert spec is None or unrestricted(spec) + careless(spec) == [], document["kind"]


def test_a_kubernetes_that_eks_no_longer_runs_is_refused():
    major, minor = OLDEST.split(".")
    refused = helm("template", CHART, "--kube-version", f"{major}.{int(minor) - 1}", check=False)
    assert refused.returncode and "kubeVersion" in refused.stderr


def test_the_specification_s_defaults():
    found = render()
    assert found["Service"]["spec"]["type"] == "ClusterIP"
    ingress = found["Ingress"]
    assert ingress["spec"]["ingressClassName"] == "alb"
    assert ingress["metadata"]["annotations"]["alb.ingress.kubernetes.io/scheme"] == "internet-facing"
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert scaler["metrics"][0]["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    (container,) = pod(found)["containers"]
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert "--workers=3" in container["args"]
    assert load_yaml(CHART / "values.yaml")["replicaCount"] == 2


def test_scaling_is_not_taken_back():
    assert "replicas" not in render()["Deployment"]["spec"]
    assert render("--set", "autoscaling.enabled=false")["Deployment"]["spec"]["replicas"] == 2


def test_selectors_meet_the_pods():
    found = render(*DATABASE)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in pod(found)["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    policy = found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    job = found["Job"]["spec"]["template"]["metadata"]["labels"]
    assert (
        policy.items() <= labels.items() and policy.items() <= job.items() and policy.items() <= found["Pod"]["metadata"]["labels"].items()
    )
    # What does not serve must get no visitors and count in no budget.
    assert not selectors[1].items() <= job.items() and not selectors[1].items() <= found["Pod"]["metadata"]["labels"].items()


def test_a_pod_goes_when_nobody_comes_any_more():
    spec = pod(render())
    drain = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain >= 10 and spec["terminationGracePeriodSeconds"] > drain + 30
    assert render()["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_probes():
    container = pod(render("--set", "django.healthPath=/alive", "--set", "django.readyPath=/able"))["containers"][0]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/alive", "livenessProbe": "/alive", "readinessProbe": "/able"}


def test_metrics_are_reached_by_prometheus_alone():
    found = render("--set", "metrics.port=9999")
    annotations = found["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true" and annotations["prometheus.io/port"] == "9999"
    assert "--bind=0.0.0.0:9999" in pod(found)["containers"][0]["args"]
    assert environment(pod(found))["ESPALIER_METRICS_PORT"] == "9999"
    assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == ["http"]
    ports = {rule["ports"][0]["port"]: rule["from"] for rule in found["NetworkPolicy"]["spec"]["ingress"]}
    assert ports[9999][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    without = render("--set", "metrics.enabled=false")
    assert environment(pod(without))["ESPALIER_METRICS_PATH"] == ""
    assert "prometheus.io/scrape" not in without["Deployment"]["spec"]["template"]["metadata"]["annotations"]


def test_migrations_come_first_and_never_meet():
    first, second = render(*DATABASE)["Job"], render(*DATABASE, "--is-upgrade")["Job"]
    hooks = first["metadata"]["annotations"]["helm.sh/hook"].split(",")
    assert sorted(hooks) == ["pre-install", "pre-upgrade"], "after the pods it would wait for those that wait for it"
    assert first["metadata"]["name"].endswith("-migrate-1"), "two revisions would fight for one name"
    spec = second["spec"]["template"]["spec"]
    assert spec["containers"][0]["command"][:3] == ["/srv/app/manage", "espalier", "migrate"]
    # Hooks are made before the release's own objects.
    assert "serviceAccountName" not in spec and second["spec"]["activeDeadlineSeconds"] > 300
    name = render(*DATABASE, "--set", f"fullnameOverride={'x' * 63}")["Job"]["metadata"]["name"]
    assert len(name) <= 63


def test_the_same_environment_everywhere_and_the_project_s_own_wins():
    found = render("--values", CHART / "ci" / "eks-values.yaml")
    specs = [pod(found), found["Job"]["spec"]["template"]["spec"], found["Pod"]["spec"]]
    assert environment(specs[0]) == environment(specs[1]) == environment(specs[2])
    names = [entry["name"] for entry in specs[0]["containers"][0]["env"]]
    assert len(names) == len(set(names)), "server-side apply refuses a name that is given twice"
    assert environment(specs[0])["GREETING"] == 'say "100 %" and $HOME'
    assert json.loads(environment(specs[0])["ESPALIER_SETTINGS"])["EMAIL_PORT"] == 587
    assert all(spec["containers"][0]["envFrom"] == [{"secretRef": {"name": "django-app"}}] for spec in specs)


def test_the_database_s_certificate_is_checked_where_its_authorities_are_known():
    plain = environment(pod(render(*DATABASE)))
    assert plain["RDS_SSLMODE"] == "require" and "PGSSLROOTCERT" not in plain
    found = render(*DATABASE, "--set", "database.caConfigMap=authorities")
    for spec in (pod(found), found["Job"]["spec"]["template"]["spec"], found["Pod"]["spec"]):
        told = environment(spec)
        assert told["RDS_SSLMODE"] == "verify-full"
        (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if told["PGSSLROOTCERT"] == f"{one['mountPath']}/ca.pem"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == mount["name"]]
        assert volume["configMap"]["name"] == "authorities" and mount["readOnly"]
    chosen = render(*DATABASE, "--set", "database.caConfigMap=authorities", "--set", "database.sslmode=verify-ca")
    assert environment(pod(chosen))["RDS_SSLMODE"] == "verify-ca"
    without = pod(render("--set", "database.caConfigMap=authorities"))
    assert "PGSSLROOTCERT" not in environment(without) and "database-ca" not in {one["name"] for one in without["volumes"]}


def test_no_secret_is_a_value():
    assert "Secret" not in render("--values", CHART / "ci" / "eks-values.yaml")


def test_another_secret_replaces_the_pods_and_another_chart_does_not():
    def template(*values):
        return render(*values)["Deployment"]["spec"]["template"]

    assert template() != template("--set", "secret.revision=b2")
    assert template() == template("--set", "chartDigest=b2")
    assert render() != render("--set", "chartDigest=b2")


def test_without_a_database_each_pod_migrates_its_own():
    found = render()
    assert "Job" not in found and pod(found)["initContainers"][0]["command"] == ["/srv/app/manage", "espalier", "migrate"]
    assert "initContainers" not in pod(render(*DATABASE))


def test_https():
    annotations = render("--set", "ingress.certificateArn=arn:aws:acm:us-east-1:1:certificate/x")["Ingress"]["metadata"]["annotations"]
    prefix = "alb.ingress.kubernetes.io"
    assert json.loads(annotations[f"{prefix}/listen-ports"]) == [{"HTTP": 80}, {"HTTPS": 443}]
    assert annotations[f"{prefix}/ssl-redirect"] == "443" and "TLS13-1-2" in annotations[f"{prefix}/ssl-policy"]
    plain = render()["Ingress"]["metadata"]["annotations"]
    assert (
        json.loads(plain[f"{prefix}/listen-ports"]) == [{"HTTP": 80}]
        and f"{prefix}/ssl-redirect" not in plain
        and f"{prefix}/ssl-policy" not in plain
    )


@pytest.mark.parametrize(
    "value",
    [
        "image.tga=x", "replicas=2", "django.allowedHosts[0]=*", "env.PORT=1", "metrics.port=8000", "image.digest=abc", "image.repository=",
        "podDisruptionBudget.maxUnavailable=0", "ingress.certificateArn=x", "database.sslmode=maybe", "django.wsgi=shop.wsgi",
        "secret.name=", "service.type=LoadBalancer", "progressDeadlineSeconds=0", "autoscaling.maxReplicas=many",
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(value):
    refused = helm("template", CHART, "--set", value, check=False)
    assert refused.returncode and "schema" in refused.stderr, refused.stderr


def test_every_value_is_typed():
    """A default that the schema does not know would be refused; a type that has no default would be nobody's."""

    def compare(values: dict, schema: dict, where: str = "") -> list[str]:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        known = set(schema.get("properties", {})) - {"global", "initialDelaySeconds"}
        if not known:
            return []
        missing = [f"{where}{name} has no default" for name in known - set(values)]
        for name in known & set(values):
            if isinstance(values[name], dict):
                missing += compare(values[name], schema["properties"][name], f"{where}{name}.")
        return missing

    SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert compare(load_yaml(CHART / "values.yaml"), SCHEMA) == []


@pytest.fixture
def answering():
    """A service in place of the chart's: answers what `pages` says, 200 where it says nothing, and notes the headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            self.send_response(pages.get(self.path, 200))
            self.send_header("Location", "https://elsewhere.invalid/")
            self.end_headers()

        def log_message(self, *_words):
            pass

    pages: dict[str, int] = {}
    asked: list[tuple[str, dict]] = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, pages, asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "good"), [(200, True), (301, True), (302, True), (404, True), (400, False), (500, False), (503, False)])
def test_helm_test_refuses_what_no_visitor_should_see(answering, status, good):
    port, pages, asked = answering
    found = render("--set", f"service.port={port}", "--set", "fullnameOverride=localhost", "--set", "django.https=true")
    program = found["Pod"]["spec"]["containers"][0]["command"][2]
    pages["/"] = status
    known = {"DJANGO_ALLOWED_HOSTS": ".example.com", "DJANGO_HTTPS": "true"}
    done = subprocess.run([sys.executable, "-c", program], env=known, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is good and ("FAIL visitors are served" in done.stdout) is not good, done.stdout + done.stderr
    (visit,) = [headers for path, headers in asked if path == "/"]
    assert (visit["Host"], visit["X-Forwarded-Proto"]) == ("example.com", "https")


def test_package(tmp_path):
    helm("package", CHART, "--destination", tmp_path)
    with tarfile.open(tmp_path / "django-app-1.0.0.tgz") as archive:
        names = archive.getnames()
    assert "django-app/values.schema.json" in names and not [name for name in names if "/ci/" in name]
    assert helm("lint", "--strict", tmp_path / "django-app-1.0.0.tgz")
