"""What Prometheus is told: a real project behind real Gunicorn workers that come and go, asked over HTTP."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request

import pytest

from tests.tree import ROOT

RUNTIME = ROOT / "roles" / "django" / "files" / "runtime"

FILES = {
    "settings": """
        SECRET_KEY = "unit"
        ALLOWED_HOSTS = ["127.0.0.1"]
        ROOT_URLCONF = "project.urls"
        INSTALLED_APPS = ["django.contrib.staticfiles"]
        MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
        STATIC_URL, STATIC_ROOT = "/static/", "{folder}/static"
        """,
    "urls": """
        import os, signal, tempfile, time
        from django.http import FileResponse, HttpResponse, StreamingHttpResponse
        from django.urls import path

        def slow(request):
            open("{folder}/slow", "w").close()
            time.sleep(60)

        def file(request):
            return FileResponse(open(__file__, "rb"))

        urlpatterns = [
            path("", lambda request: HttpResponse(str(os.getpid()))),
            path("thing/<int:number>/", lambda request, number: HttpResponse("thing")),
            path("broken", lambda request: 1 / 0),
            path("pieces", lambda request: StreamingHttpResponse(iter([b"one", b"two"]))),
            path("file", file),
            path("slow", slow),
        ]
        """,
    "wsgi": """
        from django.core.wsgi import get_wsgi_application
        application = get_wsgi_application()
        """,
    "__init__": "",
}


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    """Gunicorn, started by the release's own script, as on an instance and in a container."""

    def __init__(self, folder, *options, **environment):
        self.folder, (self.port, self.metrics_port) = folder, free_ports(2)
        # A release as build.py leaves it: `serve` finds everything from its own place.
        (folder / "venv" / "bin").mkdir(parents=True)
        (folder / "venv" / "bin" / "python").symlink_to(sys.executable)
        (folder / "source").mkdir()
        shutil.copytree(RUNTIME, folder / "espalier")
        (folder / "release.conf").write_text(f"name=shop\nuser=web\ndata={folder}\ndirectory=.\n")
        package = folder / "source" / "project"
        package.mkdir()
        for name, text in FILES.items():
            (package / f"{name}.py").write_text(textwrap.dedent(text).replace("{folder}", str(folder)))
        (folder / "static").mkdir()
        (folder / "static" / "style.0123456789ab.css").write_text("a {}")
        self.environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "ESPALIER_APPLICATION": "project.wsgi:application",
            "ESPALIER_METRICS_PATH": "/metrics",
            "APP_RELEASE": "v7",
            # Where the interpreter is a link, packages are those of the tests.
            "PYTHONPATH": ":".join(path for path in sys.path if path.endswith("site-packages")),
            **environment,
        }
        ports = [self.port, self.metrics_port]
        binds = [word for port in ports for word in ("--bind", f"127.0.0.1:{port}")]
        command = [f"{folder}/espalier/serve", *binds, *options, "espalier_wsgi:application"]
        self.log = (folder / "log").open("w")
        self.process = subprocess.Popen(["sh", *command], env=self.environment, cwd=folder, stderr=self.log, stdout=self.log)

    def ask(self, path: str, port: int = 0, timeout: float = 10) -> tuple[int, str, dict]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def wait(self, what, seconds: float = 20):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := what():
                    return found
            except OSError:
                pass
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-4000:]
            time.sleep(0.1)

    def metrics(self) -> dict[str, float]:
        text = self.ask("/metrics")[1]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line and line[0] != "#"}

    def total(self, name: str) -> float:
        return sum(value for key, value in self.metrics().items() if key.startswith(name))


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(*options, **environment):
        server = Server(tmp_path, *options, **environment)
        servers.append(server)
        server.wait(lambda: server.ask("/health")[0] == 200)
        return server

    yield start
    for server in servers:
        server.process.terminate()
        server.process.wait(timeout=20)
        server.log.close()


def test_requests_are_counted_by_method_pattern_and_status(serve):
    server = serve("--workers", "2")
    for path in ("/", "/thing/1/", "/thing/22/", "/broken", "/nothing/here", "/pieces", "/file"):
        server.ask(path)
    found = {key: value for key, value in server.metrics().items() if key.startswith("django_http_requests_total")}
    assert found == {
        'django_http_requests_total{method="GET",route="/",status="200"}': 1,
        'django_http_requests_total{method="GET",route="/thing/<int:number>/",status="200"}': 2,
        'django_http_requests_total{method="GET",route="/broken",status="500"}': 1,
        'django_http_requests_total{method="GET",route="(none)",status="404"}': 1,
        'django_http_requests_total{method="GET",route="/pieces",status="200"}': 1,
        'django_http_requests_total{method="GET",route="/file",status="200"}': 1,
    }
    assert server.total('django_http_request_duration_seconds_count{method="GET",route="/thing/<int:number>/"}') == 2
    assert server.total('django_release_start_time_seconds{release="v7"}') == pytest.approx(time.time(), abs=60)


def test_answers_are_what_they_are_without_metrics(serve):
    server = serve()
    assert server.ask("/pieces")[1] == "onetwo"
    assert server.ask("/file")[1].startswith("\nimport os")


def test_workers_that_are_replaced_lose_nothing_and_leave_nothing(serve):
    """By itself prometheus_client keeps a set of files for each process that ever was."""
    server = serve("--workers", "2", "--max-requests", "5")
    workers = {server.ask("/")[1] for _ in range(60)}
    assert len(workers) > 4, "no worker was replaced, nothing was tried"
    assert server.total("django_http_requests_total") == 60
    files = list((server.folder / "espalier-metrics").glob("counter_*.db"))
    # A worker may start while the one it replaces still ends.
    assert 1 <= len(files) <= 4, files


def test_a_worker_that_was_killed_works_on_nothing(serve):
    server = serve("--workers", "2")
    with pytest.raises(OSError):
        server.ask("/slow", timeout=2)
    server.wait((server.folder / "slow").exists)
    assert server.total("django_http_requests_in_progress") == 1
    children = subprocess.run(["ps", "--no-headers", "-o", "pid", "--ppid", str(server.process.pid)], capture_output=True, text=True)
    for pid in children.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    server.wait(lambda: server.ask("/health")[0] == 200)
    assert server.total("django_http_requests_in_progress") == 0


def test_on_a_port_of_its_own_nothing_else_is_answered_and_nowhere_else_metrics(serve, monkeypatch):
    ports = free_ports(2)
    monkeypatch.setattr(sys.modules[__name__], "free_ports", lambda number: ports)
    server = serve(ESPALIER_METRICS_PORT=str(ports[1]))
    assert server.ask("/metrics")[0] == 404, "everybody reads the metrics"
    assert server.ask("/health", port=ports[1])[0] == server.ask("/", port=ports[1])[0] == 404
    status, text, headers = server.ask("/metrics", port=ports[1])
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    assert re.search(r"^# TYPE django_http_requests_total", text, re.MULTILINE)


def test_without_a_path_there_are_no_metrics(serve):
    server = serve(ESPALIER_METRICS_PATH="")
    assert server.ask("/metrics")[0] == 404
    assert not (server.folder / "espalier-metrics").exists()


def test_static_files_are_served_where_nobody_else_does(serve):
    server = serve(ESPALIER_SERVE_STATIC="true")
    status, text, headers = server.ask("/static/style.0123456789ab.css")
    assert (status, text) == (200, "a {}")
    assert "immutable" in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff" and "Access-Control-Allow-Origin" not in headers
    assert server.ask("/static/../source/project/settings.py")[0] == 404


def test_static_files_are_left_to_nginx(serve):
    assert serve().ask("/static/style.0123456789ab.css")[0] == 404
