"""What Gunicorn runs: the project's WSGI application, with /health and /ready in front of it.

/health asks whether Django answers. The question goes through the project's own handler and middleware, with a Host header that
ALLOWED_HOSTS lets through and as HTTPS, because a load balancer's check brings neither. A path /health of the project's own decides itself;
any other project answers it from a URL pattern put before its own. Connection errors of the database count as an answer: they are no reason
to replace a machine.

/ready asks whether the database answers.

What Prometheus asks for is answered on ESPALIER_METRICS_PATH, where that is set (espalier_metrics.py). It is not for the public: Nginx
lets nobody through to it, and where there is no Nginx, only requests to the port ESPALIER_METRICS_PORT, which no load balancer knows.

Where there is no Nginx, ESPALIER_SERVE_STATIC=true serves the collected static files, too.

Environment: ESPALIER_APPLICATION ("mysite.wsgi:application"), ESPALIER_HEALTH_PATH, ESPALIER_READY_PATH, and those above.
"""

import importlib
import json
import logging
import os
import sys
import types
import weakref
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

log = logging.getLogger("espalier.health")

HEALTH_PATH = os.environ.get("ESPALIER_HEALTH_PATH", "/health")
READY_PATH = os.environ.get("ESPALIER_READY_PATH", "/ready")
METRICS_PATH = os.environ.get("ESPALIER_METRICS_PATH")
METRICS_PORT = os.environ.get("ESPALIER_METRICS_PORT")
READY_TIMEOUT_SECONDS = 3
STATIC_MAX_AGE_SECONDS = 3600
# Django's hashed names: style.5d41402abc4b.css
HASHED_NAME = r"^.+\.[0-9a-f]{12}\.[^/]+$"


def load_application():
    """The project's WSGI callable; names its release in the environment first."""
    manifest = Path(sys.prefix).parent.resolve() / "release.json"
    if manifest.is_file():
        os.environ.setdefault("APP_RELEASE", json.loads(manifest.read_text())["version"])
    module, _, attribute = os.environ["ESPALIER_APPLICATION"].partition(":")
    return getattr(importlib.import_module(module), attribute or "application")


project = load_application()

# Only now: a project may choose its settings module in its WSGI module.
from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest  # noqa: E402
from django.core.signals import got_request_exception  # noqa: E402
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import Resolver404, get_resolver, path, resolve  # noqa: E402

CONNECTION_ERRORS = (OperationalError, InterfaceError)
URLCONF = "espalier.urlconf"
ROUTE = "espalier.route"
DATABASE_AWAY = "espalier.database_away"


class Request(WSGIRequest):
    """A request whose URL configuration the wrapper may choose; it travels in the WSGI environment, past other WSGI middleware."""

    def __init__(self, environ):
        super().__init__(environ)
        if URLCONF in environ:
            self.urlconf = environ[URLCONF]
        if ROUTE in environ:
            environ[ROUTE]["request"] = weakref.ref(self)


WSGIHandler.request_class = Request


def note_connection_error(request=None, **_):
    if isinstance(sys.exc_info()[1], CONNECTION_ERRORS):
        request.META[DATABASE_AWAY] = True


got_request_exception.connect(note_connection_error, dispatch_uid="espalier")


# ATOMIC_REQUESTS would open the database before the view; LoginRequiredMiddleware would send the check to the login page.
@transaction.non_atomic_requests
def live(request):
    return HttpResponse("OK\n", content_type="text/plain")


live.login_required = False


@cache
def health_urlconf():
    """None when the project answers /health itself, else the project's URL configuration with `live` before it.

    A pattern that also matches a path that nobody can mean catches everything and is no answer of the project's own.
    """

    def route(wanted):
        try:
            return resolve(wanted, urlconf=settings.ROOT_URLCONF).route
        except Resolver404:
            return None

    own = route(HEALTH_PATH)
    if own is not None and own != route(f"{HEALTH_PATH}-no-such-path-5d1f0c"):
        return None
    # The project's patterns stay behind ours: its middleware may reverse names of them.
    root = get_resolver(settings.ROOT_URLCONF)
    urlconf = types.ModuleType("espalier_urls")
    urlconf.urlpatterns = [path(HEALTH_PATH.lstrip("/"), live), *root.url_patterns]
    urlconf.__dict__.update({name: value for name, value in vars(root.urlconf_module).items() if name.startswith("handler")})
    return urlconf


def allowed_host():
    """A Host header that the project accepts."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return hosts[0] if hosts else "localhost"


def health_request(environ):
    """The check's request as the project should see it: from an allowed host, over HTTPS, from nobody in particular."""
    dropped = ("HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT")
    inner = {name: value for name, value in environ.items() if name not in dropped}
    inner.update({"HTTP_HOST": allowed_host(), "wsgi.url_scheme": "https"})
    if settings.SECURE_PROXY_SSL_HEADER:
        header, secure = settings.SECURE_PROXY_SSL_HEADER
        inner[header] = secure
    urlconf = health_urlconf()
    if urlconf is not None:
        inner[URLCONF] = urlconf
    return inner


def call(environ):
    """Run the project: status code, headers and body."""
    answer = {}

    def start_response(status, headers, exc_info=None):
        answer.update(status=int(status.split(" ", 1)[0]), headers=headers)

    chunks = project(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return answer["status"], answer["headers"], body


def respond(environ, start_response, status, body, headers=None):
    lines = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}
    headers = headers or [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(lines[status], headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def health(environ, start_response):
    try:
        inner = health_request(environ)
        status, headers, body = call(inner)
    except CONNECTION_ERRORS:
        return respond(environ, start_response, 200, b"OK, without the database\n")
    except Exception:
        log.exception("health check failed")
        return respond(environ, start_response, 503, b"failed\n")
    if inner.get(DATABASE_AWAY):
        return respond(environ, start_response, 200, b"OK, without the database\n")
    if status >= 500:
        log.error("health check failed: the project answered %s", status)
        return respond(environ, start_response, 503, b"failed\n")
    if status == 200:
        return respond(environ, start_response, 200, body, headers)
    # A redirect or a refusal is an answer of Django's too.
    return respond(environ, start_response, 200, f"OK, by {status}\n".encode())


def ready(environ, start_response):
    # A connection of its own: the one of this thread may be in use or broken.
    connection = connections[DEFAULT_DB_ALIAS].copy()
    if connection.vendor == "postgresql":
        options = {name: value for name, value in connection.settings_dict.get("OPTIONS", {}).items() if name != "pool"}
        connection.settings_dict["OPTIONS"] = {**options, "connect_timeout": READY_TIMEOUT_SECONDS}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return respond(environ, start_response, 200, b"ready\n")
    except Exception as error:
        log.error("not ready: %s", error)
        return respond(environ, start_response, 503, b"database unavailable\n")
    finally:
        connection.close()


def served():
    """The project as visitors see it: counted where Prometheus asks, with its static files where nobody else serves them."""
    visible = project
    if METRICS_PATH:
        visible = espalier_metrics.counted(visible)
    if os.environ.get("ESPALIER_SERVE_STATIC") == "true" and settings.STATIC_ROOT:
        from whitenoise import WhiteNoise

        prefix = urlsplit(settings.STATIC_URL or "static").path
        visible = WhiteNoise(
            visible,
            settings.STATIC_ROOT,
            prefix,
            max_age=STATIC_MAX_AGE_SECONDS,
            immutable_file_test=HASHED_NAME,
            allow_all_origins=False,
            add_headers_function=lambda headers, *_: headers.add_header("X-Content-Type-Options", "nosniff"),
        )
    return visible


if METRICS_PATH:
    import espalier_metrics

visitors = served()


def metrics(environ, start_response):
    content_type, body = espalier_metrics.scrape()
    return respond(environ, start_response, 200, body, [("Content-Type", content_type), ("Content-Length", str(len(body)))])


def application(environ, start_response):
    if METRICS_PORT and environ.get("SERVER_PORT") == METRICS_PORT:
        # A port of Prometheus's own: nothing else is answered there.
        if environ.get("PATH_INFO") != METRICS_PATH:
            return respond(environ, start_response, 404, b"not here\n")
        return metrics(environ, start_response)
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        if environ.get("PATH_INFO") == HEALTH_PATH:
            return health(environ, start_response)
        if environ.get("PATH_INFO") == READY_PATH:
            return ready(environ, start_response)
        if METRICS_PATH and not METRICS_PORT and environ.get("PATH_INFO") == METRICS_PATH:
            return metrics(environ, start_response)
    return visitors(environ, start_response)
