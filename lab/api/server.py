"""The process behind AWS's API: moto's server with the lab's additions, on loopback and on the lab network's gateway."""

from __future__ import annotations

import importlib
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterable

# moto reads them when it is imported. Whatever the shell says: AWS has its policies, and the only images are the lab's own.
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from lab.api import ADDITIONS, rights
from lab.controller import LAB_USER_AGENT, Controller
from lab.network import listen

Route = Callable[[dict], dict]
CONTROL_PREFIX = "/_lab/"


def load_additions() -> dict[str, Route]:
    """Install every addition and return the control routes by name. Two additions may not claim the same name."""
    routes: dict[str, Route] = {"ping": lambda body: {"additions": list(ADDITIONS)}}
    for name in ADDITIONS:
        module = importlib.import_module(f"lab.api.{name}")
        module.install()
        for route, function in getattr(module, "ROUTES", {}).items():
            if route in routes:
                raise ValueError(f"control route {route!r} is claimed twice, the second time by lab.api.{name}")
            routes[route] = function
    return routes


class Application:
    """WSGI: one request at a time, since moto's backends are plain dictionaries that two threads would tear.

    `control` opens `/_lab/`: true for the loopback listener only, so that no instance can read a password.
    """

    lock = threading.RLock()

    def __init__(self, moto: DomainDispatcherApplication, routes: dict[str, Route], log, control: bool) -> None:
        self.moto, self.routes, self.log, self.control = moto, routes, log, control

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL_PREFIX):
            return self._control(path.removeprefix(CONTROL_PREFIX), environ, start_response)
        # Read before the lock is taken: a client that stalls half-way holds up nobody else.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length:
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        started = time.monotonic()
        seen: list[str] = []

        def note_status(status, headers, exc_info=None):
            seen[:] = [status]
            return start_response(status, headers, exc_info)

        try:
            with self.lock:
                refused = rights.judge(environ)
                if refused is None:
                    return self.moto(environ, note_status)
            status, kind, data = rights.answer(*refused)
            note_status(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
            return [data]
        finally:
            # Also what moto failed at: the traceback that follows does not name the operation.
            self._record(environ, seen, time.monotonic() - started)

    def _record(self, environ: dict, seen: list[str], seconds: float) -> None:
        status = seen[0].split()[0] if seen else "500"
        # The controllers ask every second: their successes would drown everybody else's calls.
        if LAB_USER_AGENT in environ.get("HTTP_USER_AGENT", "") and status.startswith("2"):
            return
        self.log.info("%s %s %s %.0f ms", status, environ["REMOTE_ADDR"], operation(environ), seconds * 1000)

    def _control(self, name: str, environ: dict, start_response: Callable) -> Iterable[bytes]:
        route = self.routes.get(name) if self.control else None
        if route is None:
            status, answer = "404 Not Found", {"error": f"no control route {name!r}"}
        else:
            try:
                body = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
                with self.lock:
                    status, answer = "200 OK", route(body)
            except Exception as error:
                self.log.exception("control route %s", name)
                status, answer = "500 Internal Server Error", {"error": f"{type(error).__name__}: {error}"}
        data = json.dumps(answer, default=str).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]


def operation(environ: dict) -> str:
    """What a request asks for: `service:Operation` where the protocol names one, `METHOD /path` otherwise. Never its parameters."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
    service = scope[-2] if len(scope) >= 5 else "-"
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return f"{service}:{target.rpartition('.')[2]}"
    body = environ.get("wsgi.input")
    if isinstance(body, io.BytesIO) and environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        for pair in body.getvalue().split(b"&"):
            if pair.startswith(b"Action="):
                return f"{service}:{pair.removeprefix(b'Action=').decode()}"
    return f"{service}: {environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"


class QuietHandler(MotoRequestHandler):
    """The application writes its own log line."""

    def log_request(self, *arguments) -> None:
        pass


class Api(Controller):
    """The account lives in this process's memory: when it ends, the account is gone."""

    name = "api"

    def run(self) -> None:
        routes = load_additions()
        moto = DomainDispatcherApplication(create_backend_app)
        gateway = Application(moto, routes, self.log, control=False)
        threading.Thread(target=self.serve, args=(self.settings.gateway, gateway), daemon=True).start()
        self.serve("127.0.0.1", Application(moto, routes, self.log, control=True))

    def serve(self, address: str, application: Application) -> None:
        """Answer requests for ever."""
        port = self.settings.api_port
        with listen(address, port) as listener:
            server = make_server(address, port, application, threaded=True, request_handler=QuietHandler, fd=listener.fileno())
            self.log.info("serving on %s:%s", address, port)
            server.serve_forever()
