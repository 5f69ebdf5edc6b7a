"""The chart's life on the lab's cluster, under a steady load where visitors must notice nothing; and what Prometheus has to say of it.

Builds its own system, with a cluster, and ends with the removal of all of it: the other sequences have a lab without Kubernetes. Figures
are printed as they are found.
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import threading
import time
import urllib.request

import pytest

from lab.podman import podman
from tests.acceptance.checks import EVERYTHING, KUBERNETES
from tests.acceptance.kubectl import (
    APPLICATION,
    MONITORING,
    expressions,
    forwarded,
    helm,
    kubectl,
    objects,
    pods,
    prometheus,
    ready,
    run,
)
from tests.acceptance.kubernetes import address, check_pods_are_not_the_database_s_master, database_users, get
from tests.acceptance.system import System
from tests.e2e.leftovers import leftovers
from tests.e2e.steps import nothing_changed, succeeded
from tests.rehearse.diagnosis import await_named, diagnose, problems
from tests.rehearse.load import Load
from tests.tree import ROOT, VENV_BIN

RATE = 50
BOARDS = sorted((ROOT / "k8s" / "dashboards").glob("*.json"))


# A lab with everything.
WITH_KUBERNETES = {"SKIP": ""}


@pytest.fixture(scope="module")
def system(recorder) -> System:
    """The tags of Kubernetes one by one, each alone, on top of a system that has no cluster yet. The whole of site.yml is `make lab`'s."""
    succeeded(recorder.lab("up", seconds=300, environment=WITH_KUBERNETES))
    planned = succeeded(recorder.playbook("site.yml --check, in an empty account", "site.yml", "--check", seconds=1800))
    assert planned.total("changed"), "a plan of everything has nothing to do"
    assert System().client("eks").list_clusters()["clusters"] == [], "the plan has made a cluster"
    succeeded(recorder.playbook("site.yml without a cluster", "site.yml", "--skip-tags", "cluster,monitoring", seconds=1800))
    for tag in ("cluster", "app", "monitoring"):
        succeeded(recorder.playbook(f"site.yml --tags {tag}", "site.yml", "--tags", tag, seconds=3600))
    return System()


@pytest.mark.parametrize("name", EVERYTHING | KUBERNETES)
def test_acceptance(system, name):
    (EVERYTHING | KUBERNETES)[name](system)


@pytest.fixture
def deploy(recorder):
    return lambda name, *options: recorder.playbook(name, "site.yml", "--tags", "app", *options)


def until(what, seconds: float, why: str):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"{why}, not within {seconds:g} s"
        time.sleep(1)
    return found


def no_request_failed(recorder, name: str, load: Load) -> None:
    recorder.say(f"        {name}: {load.felt.summary()}")
    assert load.felt.times, "the load asked nothing"
    assert not load.felt.failures, f"{len(load.felt.failures)} failed: {load.felt.failures[:10]}"


def history() -> list[dict]:
    return json.loads(helm("history", "django-app", "--output", "json").stdout)


def test_again_nothing_changes(recorder, system):
    for tag in ("cluster", "app", "monitoring"):
        nothing_changed(recorder.playbook(f"site.yml --tags {tag}, again", "site.yml", "--tags", tag))
    tags = "cluster,app,monitoring"
    nothing_changed(recorder.playbook(f"site.yml --check --tags {tags}", "site.yml", "--check", "--tags", tags))


def test_the_chart_passes_the_api_servers_dry_run(system):
    """What runs, sent again as it was applied, to every admission plugin there is."""
    manifest = helm("get", "manifest", "django-app").stdout
    kubectl("--namespace", APPLICATION, "apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", stdin=manifest)


def test_the_manifests_pass_the_api_servers_dry_run(recorder, system):
    """k8s/ as it is and with what the lab leaves out, by a plan, which asks the API server itself and keeps nothing."""
    values = {"monitoring_storage_gib": 20, "monitoring_alertmanagers": ["alerts.example.com:9093"], "monitoring_kubelet_verify": True}
    planned = succeeded(recorder.playbook("k8s/ with a volume, dry run", "playbooks/monitoring.yml", "--check", "-e", json.dumps(values)))
    assert [task for task in planned.changed_tasks() if "Manifests" in task], planned.tail()
    assert objects("persistentvolumeclaims", MONITORING) + objects("storageclasses") == [], "the plan was carried out"
    wrong = json.dumps({**values, "monitoring_storage_class": "No Name"})
    refused = recorder.playbook("k8s/ with a wrong class, dry run", "playbooks/monitoring.yml", "--check", "-e", wrong)
    assert refused.returncode and "spec.storageClassName" in refused.output, f"the API server has not looked at it\n{refused.tail()}"


def test_nobody_can_do_anything_in_the_image(recorder, system):
    """As whoever breaks into the application would find it."""
    pod = pods()[0]

    def inside(script: str) -> subprocess.CompletedProcess[str]:
        return run("kubectl", "--namespace", APPLICATION, "exec", pod["metadata"]["name"], "--", "sh", "-c", script, check=False)

    assert inside("id -u").stdout.strip() == "10001"
    for program in ("gcc", "cc", "make", "pip", "pip3", "sudo"):
        assert inside(f"command -v {program}").returncode != 0, f"{program} is in the image"
    assert "No module named pip" in inside("python3 -m pip --version").stderr
    for folder in ("/", "/srv/app", "/usr/bin", "/etc"):
        refused = inside(f"touch {folder}/intruder")
        assert refused.returncode != 0 and "Read-only file system" in refused.stderr, f"{folder} can be written: {refused}"
    assert inside("touch /tmp/note /data/note && rm /tmp/note /data/note").returncode == 0
    node = json.loads(kubectl("get", "node", pod["spec"]["nodeName"], "--output", "json"))
    names = {pod["spec"]["containers"][0]["image"], pod["status"]["containerStatuses"][0]["imageID"]}
    (size,) = {image["sizeBytes"] for image in node["status"]["images"] if names & set(image["names"])}
    recorder.say(f"        {size / 2**20:.0f} MiB, as the node has pulled it")


def test_a_pod_that_is_not_restricted_is_refused(system):
    for namespace in (APPLICATION, MONITORING):
        refused = run("kubectl", "--namespace", namespace, "run", "careless", "--image=busybox", "--dry-run=server", check=False)
        assert refused.returncode and 'violates PodSecurity "restricted' in refused.stderr


def test_helm_test(system):
    assert "FAIL" not in helm("test", "django-app", "--logs").stdout


def test_the_load_alone(recorder, system):
    with Load(address(system), rate=RATE) as load:
        time.sleep(10)
    no_request_failed(recorder, "no upgrade", load)


def test_an_upgrade_fails_no_request(recorder, system):
    """New pods for old ones: another annotation on them is enough."""
    before = {pod["metadata"]["name"] for pod in pods()}
    values = '{"podAnnotations": {"espalier/rehearsal": "upgrade"}}'
    with Load(address(system), rate=RATE) as load:
        outcome = recorder.playbook(
            "upgrade of the chart, under load", "playbooks/app_chart.yml", "-e", f'{{"app_chart_values": {values}}}'
        )
        time.sleep(20)
    succeeded(outcome)
    assert not before & {pod["metadata"]["name"] for pod in pods()}, "no pod was replaced, nothing was tried"
    no_request_failed(recorder, "helm upgrade", load)


def test_a_rotation_reaches_the_pods_and_fails_no_request(recorder, system):
    before = database_users(system)
    with Load(address(system), rate=RATE) as load:
        succeeded(recorder.playbook("rotate", "playbooks/rotate.yml", seconds=1800))
    no_request_failed(recorder, "rotation", load)
    check_pods_are_not_the_database_s_master(system)
    assert database_users(system) != before
    # Cut off before the pods: the next one brings them over first, since the user whom they have is the next to get a new password.
    playbook = (str(VENV_BIN / "ansible-playbook"), "playbooks/rotate.yml")
    recorder.interrupt("rotate, killed", *playbook, at="PLAY [The application on Kubernetes", times=2)
    with pytest.raises(AssertionError):
        check_pods_are_not_the_database_s_master(system)
    with Load(address(system), rate=RATE) as load:
        succeeded(recorder.playbook("rotate again", "playbooks/rotate.yml", seconds=1800))
    no_request_failed(recorder, "rotation after one that was killed", load)
    check_pods_are_not_the_database_s_master(system)


def test_a_changed_template_without_a_new_version_is_deployed(recorder, system, tmp_path):
    chart = tmp_path / "django-app"
    shutil.copytree(ROOT / "helm" / "django-app", chart)
    template = chart / "templates" / "service.yaml"
    template.write_text(template.read_text().replace("metadata:\n", "metadata:\n  annotations: {espalier/rehearsal: edited}\n", 1))
    succeeded(recorder.playbook("edited template", "playbooks/app_chart.yml", "-e", f"django_chart_path={chart}"))
    (service,) = objects("services", APPLICATION)
    assert service["metadata"]["annotations"]["espalier/rehearsal"] == "edited"
    nothing_changed(recorder.playbook("edited template, again", "playbooks/app_chart.yml", "-e", f"django_chart_path={chart}"))


def replica_sets() -> set[str]:
    return {pod["metadata"]["labels"]["pod-template-hash"] for pod in pods()}


def test_an_upgrade_that_fails_is_rolled_back_and_fails_no_request(recorder, system):
    before = replica_sets()
    # The runtime would answer on any path that the probe asks for.
    unready = {"django": {"readyPath": "/no-such-path"}, "env": {"ESPALIER_READY_PATH": "/ready"}}
    values = {"app_chart_values": unready, "app_chart_timeout_seconds": 60}
    with Load(address(system), rate=RATE) as load:
        outcome = recorder.playbook("upgrade that never becomes ready, under load", "playbooks/app_chart.yml", "-e", json.dumps(values))
    assert outcome.returncode != 0 and "rolled back" in outcome.output, outcome.tail()
    assert "Unhealthy" in outcome.output, "the message does not say why"
    no_request_failed(recorder, "failing upgrade", load)
    # By name they may have changed: the autoscaler makes and removes pods meanwhile.
    assert replica_sets() == before, "others than before serve"
    assert history()[-1]["status"] == "deployed" and "Rollback" in history()[-1]["description"]


def newest_record() -> dict:
    """The Secret in which Helm keeps the newest revision."""
    secrets = objects("secrets", APPLICATION, "owner=helm,name=django-app")
    return max(secrets, key=lambda secret: int(secret["metadata"]["labels"]["version"]))


def leave_unfinished(record: dict, revision: int, status: str) -> None:
    """A revision as Helm leaves it when it is killed in the middle, made of the record of another one."""
    content = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"]))))
    content["version"] = revision
    content["info"]["status"] = status
    metadata = {
        "name": f"sh.helm.release.v1.django-app.v{revision}",
        "namespace": APPLICATION,
        "labels": {**record["metadata"]["labels"], "version": str(revision), "status": status},
    }
    release = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()
    kubectl("apply", "-f", "-", stdin=json.dumps({**record, "metadata": metadata, "data": {"release": release}}))
    assert history()[-1]["status"] == status


def test_an_upgrade_that_was_killed_is_continued(recorder, system):
    """Helm itself refuses a release in the middle of an upgrade for ever."""
    newest = newest_record()
    leave_unfinished(newest, int(newest["metadata"]["labels"]["version"]) + 1, "pending-upgrade")
    succeeded(recorder.playbook("after a killed upgrade", "playbooks/app_chart.yml"))
    assert history()[-1]["status"] == "deployed"


def test_a_node_is_drained_and_no_request_fails(recorder, system):
    node = pods()[0]["spec"]["nodeName"]
    with Load(address(system), rate=RATE) as load:
        began = time.monotonic()
        run("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s", seconds=300)
        recorder.say(f"        {node} drained in {time.monotonic() - began:.0f} s")
        time.sleep(5)
    try:
        no_request_failed(recorder, "drain of a node", load)
        assert not [pod for pod in pods() if pod["spec"]["nodeName"] == node]
    finally:
        kubectl("uncordon", node)


def test_the_autoscaler_goes_up_under_load_and_back(recorder, system):
    began = time.monotonic()
    with Load(address(system), rate=200, connections=60) as load:
        until(lambda: len([pod for pod in pods() if ready(pod)]) > 2, 300, "no pod was added")
        recorder.say(f"        scaled to {len(pods())} pods after {time.monotonic() - began:.0f} s: {load.felt.summary()}")
        # What the autoscaler does is no drift.
        nothing_changed(recorder.playbook("site.yml --check --tags app, while scaled", "site.yml", "--check", "--tags", "app"))
        assert len(pods()) > 2, "the plan met a Deployment that was small again"
    quiet = time.monotonic()
    until(lambda: len(pods()) == 2, 400, "the added pods were not taken away")
    recorder.say(f"        back to 2 pods {time.monotonic() - quiet:.0f} s after the load")


def test_a_rollback_of_the_release_serves_the_one_before(recorder, system):
    newest = history()[-1]["revision"]
    before = next(entry["revision"] for entry in reversed(history()[:-1]) if entry["status"] == "superseded")
    with Load(address(system), rate=RATE) as load:
        helm("rollback", "django-app", before, "--wait", "--timeout", "5m", seconds=320)
    no_request_failed(recorder, f"helm rollback from {newest} to {before}", load)
    succeeded(recorder.playbook("and forward again", "playbooks/app_chart.yml"))


def hide_the_table(hidden: bool) -> None:
    """Of the entries: a page without it is an error of the application, which every check of health outlives."""
    before, after = ("guestbook_entry", "guestbook_hidden") if hidden else ("guestbook_hidden", "guestbook_entry")
    statement = f"from django.db import connection; connection.cursor().execute('ALTER TABLE {before} RENAME TO {after}')"
    kubectl("--namespace", APPLICATION, "exec", pods()[0]["metadata"]["name"], "--", "/srv/app/manage", "shell", "-c", statement)


def fail_some_requests(system: System) -> None:
    """On every pod and every instance, so many that each has its share."""
    hide_the_table(True)
    try:
        statuses = {get(f"{base}/")[0] for base in (address(system), system.app_url) for _ in range(12)}
    finally:
        hide_the_table(False)
    assert statuses == {500}


def told(answer: list[dict]) -> bool:
    """A number: 0 / 0 draws an empty panel as no data does."""
    return any(one["value"][1] != "NaN" for one in answer)


def test_every_panel_has_data_after_a_minute_of_load(recorder, system):
    """Both platforms are asked, for both are watched; and each has failed at something, twice, since a rate needs two samples."""
    stopping = threading.Event()

    def wander() -> None:
        while not stopping.wait(1):
            for path in ("/", "/nothing/here"):
                try:
                    urllib.request.urlopen(f"{system.app_url}{path}", timeout=10).close()
                except OSError:
                    continue

    thread = threading.Thread(target=wander, daemon=True)
    with Load(address(system), rate=RATE):
        thread.start()
        fail_some_requests(system)
        time.sleep(30)
        fail_some_requests(system)
        time.sleep(30)
        with prometheus() as watcher:
            asked = [(board.stem, *one) for board in BOARDS for one in expressions(board)]
            answers = {one: watcher.query(one[2]) for one in asked}
    stopping.set()
    recorder.say(f"        {len(asked)} expressions")
    empty = [one for one, answer in answers.items() if not told(answer)]
    assert len(asked) > 40 and not empty, empty
    # What has an answer even when nothing fails shows what has failed.
    (failing,) = [answer for (_board, title, _expression), answer in answers.items() if title == "Server errors by route"]
    assert [one for one in failing if one["metric"].get("route") == "/" and float(one["value"][1]) > 0], failing


def test_grafana_lists_three_dashboards(recorder, system):
    running = [pod for pod in pods(MONITORING, "app.kubernetes.io/name=grafana") if ready(pod)]
    if not running:
        pytest.skip("Grafana's image cannot be pulled here: its objects are applied, and its panels are proved through Prometheus")
    secret = json.loads(kubectl("--namespace", MONITORING, "get", "secret", "grafana-admin", "--output", "json"))["data"]
    login = base64.b64encode(b"admin:" + base64.b64decode(secret["password"])).decode()
    with forwarded("grafana", 3000) as base:
        request = urllib.request.Request(f"{base}/api/search?type=dash-db", headers={"Authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            assert len(json.load(answer)) == 3


def test_a_changed_rule_is_read_without_a_restart(recorder, system, tmp_path):
    before = pods(MONITORING, "app.kubernetes.io/name=prometheus")[0]["metadata"]["uid"]
    folder = tmp_path / "k8s"
    shutil.copytree(ROOT / "k8s", folder)
    (folder / "alerts" / "rehearsal.yml").write_text("groups: [{name: rehearsal, rules: [{record: 'rehearsal:one', expr: vector(1)}]}]\n")
    succeeded(recorder.playbook("monitoring with one more rule", "playbooks/monitoring.yml", "-e", f"monitoring_manifests={folder}"))
    with prometheus() as watcher:
        until(lambda: watcher.query("rehearsal:one"), 180, "the new rule was not read")
    assert pods(MONITORING, "app.kubernetes.io/name=prometheus")[0]["metadata"]["uid"] == before
    succeeded(recorder.playbook("monitoring as it was", "playbooks/monitoring.yml"))


def cluster_group(system: System) -> str:
    return system.client("eks").describe_cluster(name="django-app")["cluster"]["resourcesVpcConfig"]["clusterSecurityGroupId"]


def revoke_the_rule_of_pods(system: System) -> None:
    ec2, database, cluster = system.client("ec2"), system.security_group("database"), cluster_group(system)
    rules = [{**one, "UserIdGroupPairs": [pair]} for one in database["IpPermissions"] for pair in one["UserIdGroupPairs"]]
    (rule,) = [one for one in rules if one["UserIdGroupPairs"][0]["GroupId"] == cluster]
    ec2.revoke_security_group_ingress(GroupId=database["GroupId"], IpPermissions=[rule])


def replace_a_pod() -> None:
    kubectl("--namespace", APPLICATION, "delete", "pod", pods()[0]["metadata"]["name"], "--wait=false")


def delete_the_secret(system: System) -> None:
    kubectl("--namespace", APPLICATION, "delete", "secret", "django-app")
    replace_a_pod()


def name_an_image_that_is_not_there(system: System) -> None:
    container = pods()[0]["spec"]["containers"][0]
    image = f"{container['image'].rpartition(':')[0]}:gone"
    kubectl("--namespace", APPLICATION, "set", "image", "deployment/django-app", f"{container['name']}={image}")


def cordon_all(system: System) -> None:
    kubectl("cordon", "--selector", "eks.amazonaws.com/nodegroup")
    replace_a_pod()


def silence_a_kubelet(system: System) -> None:
    """As on a machine that hangs: nothing of it answers, and EC2 calls it running."""
    node = objects("nodes")[0]
    podman("exec", f"espalier-node-{node['spec']['providerID'].rpartition('/')[2]}", "pkill", "-STOP", "kubelet")


def replace_silent_nodes(system: System) -> None:
    for node in objects("nodes"):
        if not ready(node):
            system.client("ec2").terminate_instances(InstanceIds=[node["spec"]["providerID"].rpartition("/")[2]])


# By name: what is done, words of the finding and of its fix, and the fix itself: tags of site.yml, or what a hand does.
TROUBLES = {
    "pods cannot reach the database": (revoke_the_rule_of_pods, "pods cannot reach the database", "--tags cluster", "cluster"),
    "the secret is gone": (delete_the_secret, "CreateContainerConfigError", "--tags app", "app"),
    "no such image": (
        name_an_image_that_is_not_there, "ImagePull", "rollout undo",
        lambda system: kubectl("--namespace", APPLICATION, "rollout", "undo", "deployment/django-app"),
    ),
    "nodes that take no pods": (
        cordon_all, "nschedulable", "uncordon", lambda system: kubectl("uncordon", "--selector", "eks.amazonaws.com/nodegroup"),
    ),
    "a node that hangs": (silence_a_kubelet, "the node is not ready", "terminate its instance", replace_silent_nodes),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLES)
def test_the_doctor_names_it_and_the_fix_mends_it(recorder, system, name):
    breaks, finding, words, fix = TROUBLES[name]
    breaks(system)
    try:
        await_named(recorder, name, finding, words)
    finally:
        if callable(fix):
            fix(system)
        else:
            succeeded(recorder.playbook(f"the fix, {name}", "site.yml", "--tags", fix))
    until(lambda: problems(diagnose(recorder, f"{name}, mended")) == [], 240, "the fix did not mend it")


def test_uninstall_and_install(recorder, system):
    """The release goes, the next run brings it back, and its address with it; also where a first install was killed meanwhile."""
    former = newest_record()
    helm("uninstall", "django-app", "--wait", "--timeout", "5m", seconds=320)
    assert not pods()
    leave_unfinished(former, 1, "pending-install")
    succeeded(recorder.playbook("the chart, from an install that was killed", "playbooks/app_chart.yml"))
    until(lambda: len([pod for pod in pods() if ready(pod)]) == 2, 120, "the pods did not come back")
    with Load(address(system), rate=10) as load:
        time.sleep(5)
    no_request_failed(recorder, "after the new install", load)


def test_destroy_leaves_nothing(recorder, system):
    """Load balancers of ingresses and volumes of claims go while their controllers live, then the cluster, and the VPC last."""
    succeeded(recorder.playbook("destroy: all of it", "playbooks/destroy.yml", "-e", "destroy_confirmation=django", seconds=1800))
    assert system.client("eks").list_clusters()["clusters"] == []
    assert system.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert system.described("describe_vpcs", "Vpcs") == []
    nothing_changed(recorder.playbook("destroy: again", "playbooks/destroy.yml", "-e", "destroy_confirmation=django"))


@pytest.mark.cleanup
def test_lab_down_leaves_nothing(recorder):
    succeeded(recorder.lab("down", seconds=180))
    assert leftovers() == []
