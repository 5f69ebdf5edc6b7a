"""Asked over HTTP as the load balancer would: what reaches the application, what Nginx answers itself, what it believes."""

from __future__ import annotations

import json

HOST = "www.example.com"
EXPECTED = {
    "defaults": {"listener": "tcp", "health": "/health", "ready": "/ready", "metrics": ("/metrics", 8001)},
    "altered": {"listener": "unix", "health": "/alive", "ready": "/able", "metrics": ("/numbers", 8009)},
}


def test_the_service_runs_now_and_after_a_boot(machine):
    assert machine.unit("nginx.service") == ("active", "enabled")


def test_the_configuration_is_root_s(machine):
    assert machine.mode("/etc/nginx/nginx.conf") == "root root 644"


def test_requests_reach_the_application(machine):
    answer = machine.get("/some/page?x=1", Host=HOST)
    assert answer.status == 200, f"the application is not reached: {answer.status} {answer.body}"
    seen = json.loads(answer.body)
    assert (seen["listener"], seen["path"]) == (EXPECTED[machine.variables]["listener"], "/some/page?x=1")
    assert seen["headers"]["host"] == HOST and seen["headers"]["x-request-id"]


def test_only_trusted_networks_say_for_whom_they_ask(machine):
    answer = machine.get("/", Host=HOST, X_Forwarded_For="203.0.113.7", X_Forwarded_Proto="https")
    headers = json.loads(answer.body)["headers"]
    seen = headers["x-forwarded-for"], headers["x-forwarded-proto"]
    if machine.variables == "altered":
        assert seen == ("203.0.113.7", "https")
        assert answer.headers["strict-transport-security"] == "max-age=3600"
    else:
        assert seen[0].startswith("10.88.") and seen[1] == "http"
        assert "strict-transport-security" not in answer.headers


def test_the_health_check_comes_by_address(machine):
    expected = EXPECTED[machine.variables]
    answer = machine.get(expected["health"])
    assert answer.status == 200 and json.loads(answer.body)["path"] == expected["health"], "the health check does not reach the application"
    assert expected["health"] not in machine.output("cat", "/var/log/nginx/access.log"), "health checks fill the log"


def test_the_database_is_nobody_else_s_business(machine):
    path = EXPECTED[machine.variables]["ready"]
    assert machine.get(path).status == (200 if machine.variables == "altered" else 403)
    assert machine.run("curl", "-fsS", f"http://127.0.0.1{path}").returncode == 0


def test_metrics_are_for_prometheus(machine):
    """On a port of their own, which the load balancer does not know, and there only."""
    path, port = EXPECTED[machine.variables]["metrics"]
    assert machine.get(path, Host=HOST).status == machine.get(path).status == 404, "the public reads the metrics"
    assert machine.get(path, port=port).status == (200 if machine.variables == "altered" else 403)
    assert machine.run("curl", "-fsS", f"http://127.0.0.1:{port}{path}").returncode == 0
    assert machine.run("curl", "-fsS", f"http://127.0.0.1:{port}/").returncode == 22, "the port answers more than metrics"


def test_names_that_nobody_gave_are_refused(machine):
    assert machine.get("/", Host="scanner.example.net").status == (421 if machine.variables == "altered" else 200)
    assert machine.get("/", Host="any.example.org").status == 200


def test_hidden_files_are_not_served(machine):
    for path in ("/.env", "/.git/config"):
        assert machine.get(path, Host=HOST).status == 404
    assert machine.get("/.well-known/security.txt", Host=HOST).status == 200


def test_security_headers_where_the_application_sets_none(machine):
    assert machine.get("/", Host=HOST).headers["x-frame-options"] == "SAMEORIGIN"
    assert machine.get("/own", Host=HOST).headers["x-frame-options"] == "DENY"
    assert machine.get("/", Host=HOST).headers["x-content-type-options"] == "nosniff"
    assert machine.get("/", Host=HOST).headers["server"] == "nginx", "the version is told"


def test_static_files(machine):
    answer = machine.get("/assets/style.css", Host=HOST)
    if machine.variables == "defaults":
        assert json.loads(answer.body)["path"] == "/assets/style.css"
        return
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, "body {}\n", "max-age=60")
    # Of the second folder, what the first does not have.
    assert machine.get("/assets/older.css", Host=HOST).body == "older {}\n"
    assert machine.get("/assets/none.css", Host=HOST).status == 404
    assert machine.get("/assets/../../etc/passwd", Host=HOST).status in (400, 404)
    assert machine.get("/assets/style.5d41402abc4b.css", Host=HOST).headers["cache-control"] == f"max-age={365 * 86400}"


def test_the_largest_body(machine):
    limit = (1 if machine.variables == "altered" else 10) << 20
    assert machine.get("/", method="POST", body=b"x" * limit, Host=HOST).status == 200
    assert machine.get("/", method="POST", body=b"x" * (limit + 1), Host=HOST).status == 413


def test_the_application_s_time_is_limited(machine):
    """It takes 2 seconds: longer than the 1 of one set, shorter than the 60 of the other."""
    assert machine.get("/slow", Host=HOST).status == (504 if machine.variables == "altered" else 200)


def test_gone(machine):
    assert not machine.listens(80)
    for path in ("/usr/sbin/nginx", "/etc/nginx", "/var/log/nginx"):
        assert machine.run("test", "-e", path).returncode == 1, f"{path} is left"
