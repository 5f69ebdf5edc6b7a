"""Seed: The application on an instance. Asked over HTTP as a visitor would, and on the instances as root."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

from tests.acceptance.system import System

UNIT = "gunicorn"
# Of the unit, as `systemctl show` prints them. The service reads its code, its socket and its environment, nothing more.
HARDENING = {
    "NoNewPrivileges": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectHome": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "RestrictSUIDSGID": "yes",
}


def instance_ids(system: System) -> list[str]:
    found = sorted(machine["InstanceId"] for machine in system.instances("app"))
    assert found, "no running instance with tag Role=app"
    return found


def output(system: System, instance: str, *command: str) -> str:
    done = system.run_on(instance, *command)
    assert done.returncode == 0, f"{instance}: {' '.join(command)} answered {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def check_page(system: System) -> None:
    answer = system.get("/")
    assert answer.status == 200 and "<html" in answer.body.lower()


def check_page_comes_from_two_instances(system: System) -> None:
    """Each request is found again in the log of the Nginx that served it."""
    mark = uuid.uuid4().hex
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: system.get(f"/?{mark}={number}"), range(12)))
    assert {answer.status for answer in answers} == {200}
    served = {instance: requests_served(system, instance, mark) for instance in instance_ids(system)}
    assert len(served) == 2 and all(served.values()), f"requests served: {served}"
    assert sum(served.values()) == 12, f"requests served: {served}"


def requests_served(system: System, instance: str, mark: str, seconds: float = 5) -> int:
    """Lines of an instance's Nginx logs with the mark. Polled: a buffered log may be late."""
    deadline = time.monotonic() + seconds
    count = 0
    while not count and time.monotonic() < deadline:
        done = system.run_on(instance, "sh", "-c", f"cat /var/log/nginx/*.log | grep -c {mark}")
        count = int(done.stdout.strip() or 0)
        if not count:
            time.sleep(0.5)
    return count


def check_logs_reach_cloudwatch(system: System) -> None:
    """Each instance has a stream of its own for each kind, and what visitors did stands there."""
    mark = uuid.uuid4().hex
    for _ in range(6):
        assert system.get(f"/?{mark}").status == 200
    for instance in instance_ids(system):
        await_event(system, f"{instance}/nginx-access", f"/?{mark} ")
        await_event(system, f"{instance}/gunicorn", "Booting worker")


def await_event(system: System, stream: str, text: str, seconds: float = 40) -> None:
    """Wait until a stream of the application's log group has an event with this text. The agent looks every 5 s."""
    client, deadline = system.client("logs"), time.monotonic() + seconds
    found: list[str] = []
    while not any(text in message for message in found):
        assert time.monotonic() < deadline, f"{stream} lacks {text!r}; it ends with {found[-3:]}"
        time.sleep(0.5)
        try:
            events = client.get_log_events(logGroupName="/aws/ec2/django-app", logStreamName=stream, startFromHead=False)["events"]
        except client.exceptions.ResourceNotFoundException:
            events = []
        found = [event["message"] for event in events]


def check_row_is_written_and_read_back(system: System) -> None:
    """The form of the reference project, as a browser sends it; the row is read until both instances can have shown it."""
    text = write_row(system)
    pages = [system.get("/").body for _ in range(6)]
    assert all(text in page for page in pages), f"{sum(text in page for page in pages)} of 6 pages show the row"


def write_row(system: System) -> str:
    """Sign the guest book and return what was written."""
    text = f"acceptance {uuid.uuid4().hex}"
    page = system.get("/")
    cookie = re.search(r"csrftoken=(\w+)", page.headers.get("set-cookie", ""))
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
    assert cookie and token, "the page has no form with a CSRF token"
    fields = re.findall(r"<(?:input|textarea)[^>]*\bname=\"(\w+)\"", page.body)
    url = urlsplit(system.app_url)
    origin = f"{url.scheme}://{url.netloc}"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={cookie[1]}",
        "Origin": origin,
        "Referer": f"{origin}/",
    }
    answer = system.get("/", "POST", urlencode({**dict.fromkeys(fields, text), "csrfmiddlewaretoken": token[1]}), headers)
    assert answer.status in (302, 303), f"the form answered {answer.status}: {answer.body[:500]}"
    return text


def status_on(system: System, instance: str, path: str) -> int:
    """Status code that an instance's own Nginx answers on port 80; 0 when nothing answers."""
    done = system.run_on(instance, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30", f"http://127.0.0.1{path}")
    return int(done.stdout.strip() or 0)


def check_ready_asks_the_database(system: System) -> None:
    """A question for operators, not for visitors: asked on the instance."""
    assert [status_on(system, instance, "/ready") for instance in instance_ids(system)] == [200, 200]


def check_wrong_host_is_refused(system: System) -> None:
    """ALLOWED_HOSTS is not `*`. 421 is Nginx's word for it, 400 Django's."""
    assert system.get("/", headers={"Host": "attacker.example"}).status in (400, 421)


def check_health_with_a_wrong_host(system: System) -> None:
    """A load balancer asks with the instance's address as Host, which no ALLOWED_HOSTS can know before the instance exists."""
    for host in ("attacker.example", "10.0.10.99"):
        answer = system.get("/health", headers={"Host": host})
        assert answer.status == 200, f"Host: {host} answered {answer.status}"


def check_health_needs_django(system: System) -> None:
    """Nginx alone must not be able to say OK."""
    instance = instance_ids(system)[0]
    # The socket too, or the next request starts the service again.
    units = (f"{UNIT}.socket", f"{UNIT}.service")
    output(system, instance, "systemctl", "stop", *units)
    try:
        status = status_on(system, instance, "/health")
        assert status >= 500, f"/health answered {status} without Gunicorn"
    finally:
        output(system, instance, "systemctl", "start", *units)
        await_health(system, instance)


def await_health(system: System, instance: str, seconds: float = 60) -> None:
    """Until the instance answers and the load balancer has seen it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if status_on(system, instance, "/health") == 200 and system.target_states().get(instance) == "healthy":
            return
        time.sleep(1)
    raise AssertionError(f"{instance} is not healthy again after {seconds} s: {system.target_states()}")


def check_static_files(system: System) -> None:
    """What the page links to is served, by Nginx, with a type."""
    links = re.findall(r"(?:href|src)=\"(/static/[^\"]+)\"", system.get("/").body)
    assert links, "the page links no static file"
    for link in links:
        answer = system.get(link)
        assert answer.status == 200 and answer.headers.get("content-type"), link
        assert "cache-control" in answer.headers or "expires" in answer.headers, f"{link} without a cache time"


def check_headers(system: System) -> None:
    headers = system.get("/", headers={"Accept-Encoding": "gzip"}).headers
    assert headers.get("x-content-type-options") == "nosniff"
    assert headers.get("x-frame-options", "").upper() in ("DENY", "SAMEORIGIN")
    assert headers.get("referrer-policy")
    assert not re.search(r"\d", headers.get("server", "")), f"the server tells its version: {headers['server']}"
    for name in ("x-content-type-options", "x-frame-options", "referrer-policy"):
        assert "," not in headers[name], f"{name} is set twice: {headers[name]}"


def check_gunicorn(system: System) -> None:
    """Three workers and their master, not root, hardened."""
    for instance in instance_ids(system):
        shown = dict(
            line.partition("=")[::2]
            for line in output(
                system, instance, "systemctl", "show", UNIT, "-p", ",".join((*HARDENING, "User", "ActiveState", "ProtectSystem"))
            ).splitlines()
        )
        assert shown["ActiveState"] == "active"
        assert shown["User"] not in ("", "root")
        assert shown["ProtectSystem"] in ("strict", "full")
        weak = {name: shown.get(name) for name, value in HARDENING.items() if shown.get(name) != value}
        assert not weak, f"{instance}: {weak}"
        processes = output(system, instance, "ps", "-u", shown["User"], "-o", "pid=,ppid=,args=").splitlines()
        gunicorns = [line for line in processes if "gunicorn" in line]
        assert len(gunicorns) == 4, f"{instance}: expected a master and 3 workers: {gunicorns}"


def check_services_start_at_boot(system: System) -> None:
    for instance in instance_ids(system):
        for unit in (UNIT, "nginx"):
            assert output(system, instance, "systemctl", "is-enabled", unit).strip() == "enabled", f"{instance}: {unit}"


def check_no_unit_failed(system: System) -> None:
    for instance in instance_ids(system):
        failed = output(system, instance, "systemctl", "--failed", "--no-legend", "--plain")
        assert not failed.strip(), f"{instance}: {failed}"


LOOK_AT_DATABASE = """
from django.db import connection
connection.ensure_connection()
options = dict(connection.get_connection_params())
print("mode", options.get("sslmode"), connection.connection.info.get_parameters().get("sslmode"))
stranger = dict(options, sslrootcert="/etc/ssl/certs/ca-certificates.crt")
try:
    connection.get_new_connection(stranger)
    print("believed")
except Exception as error:
    print("refused" if "certificate verify failed" in str(error) else error)
"""


def refuses_strangers(said: str) -> None:
    """What LOOK_AT_DATABASE has printed."""
    assert "mode verify-full" in said, said
    assert "refused" in said and "believed" not in said, f"any certificate is good enough: {said}"


def check_database_certificate_is_checked(system: System) -> None:
    """Django knows RDS's authorities, and believes no others."""
    for instance in instance_ids(system):
        refuses_strangers(output(system, instance, "/srv/django-app/current/manage", "shell", "-c", LOOK_AT_DATABASE))
