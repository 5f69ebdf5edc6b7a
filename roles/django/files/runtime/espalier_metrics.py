"""What Prometheus is told of the application: counted around the project's WSGI callable, whatever the project is.

django_http_requests_total{method, route, status}
django_http_request_duration_seconds{method, route}   histogram, until the last byte was handed over
django_http_requests_in_progress                      requests that are being worked on
django_release_start_time_seconds{release}            since when this release is served here

`route` is the pattern in the project's URL configuration, never the path: an address with a number in it must not become a time series.
Health checks, static files and the scrape itself are not counted.

Several worker processes count, and the one that is asked answers for all of them: prometheus_client keeps the numbers in files in
PROMETHEUS_MULTIPROC_DIR, by itself one set for each process that there ever was. Workers are replaced all the time, so a worker takes the
lowest number that no living process has (a lock on a file, which ends with its process) and goes on with that number's files.
"""

import fcntl
import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

ROUTE = "espalier.route"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
# Gunicorn cuts a request off after 30 s by default.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Slot:
    """A number that no other living process holds."""

    def __init__(self, folder):
        self.folder, self.file, self.number = Path(folder), None, None
        os.register_at_fork(after_in_child=self.forget)

    def forget(self):
        """A forked child: the number is its parent's. Closing its copy of the file does not unlock it."""
        if self.file:
            self.file.close()
        self.file = self.number = None

    def __call__(self):
        if self.number is None:
            self.number = next(number for number in range(10**6) if self.take(number))
            mark_process_dead(self.number, self.folder)
        return self.number

    def take(self, number):
        self.file = self.lock(number)
        return self.file is not None

    def lock(self, number):
        """The locked file, or None where somebody has it."""
        # Open as long as the lock holds.
        file = (self.folder / f"slot-{number}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def bury(self):
        """Forget what processes that are gone were working on."""
        for path in self.folder.glob("slot-*.lock"):
            number = int(path.stem.partition("-")[2])
            if number != self.number and (file := self.lock(number)):
                mark_process_dead(number, self.folder)
                file.close()


folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if folder:
    slot = Slot(folder)
    values.ValueClass = values.MultiProcessValue(slot)

registry = CollectorRegistry()
requests = Counter("django_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry)
seconds = Histogram(
    "django_http_request_duration_seconds", "Time to answer a request.", ["method", "route"], buckets=BUCKETS, registry=registry
)
in_progress = Gauge(
    "django_http_requests_in_progress", "Requests that are being worked on.", multiprocess_mode="livesum", registry=registry
)
started = Gauge(
    "django_release_start_time_seconds",
    "When this release was started here, in seconds since 1970.",
    ["release"],
    multiprocess_mode="livemax",
    registry=registry,
)
started.labels(os.environ.get("APP_RELEASE", "unknown")).set(float(os.environ.get("ESPALIER_STARTED") or time.time()))


def scrape():
    """Content type and body of the answer to Prometheus."""
    if not folder:
        return CONTENT_TYPE_LATEST, generate_latest(registry)
    slot()
    slot.bury()
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody, path=folder)
    return CONTENT_TYPE_LATEST, generate_latest(everybody)


def route_of(found):
    """The URL pattern that Django chose; `found` holds a weak reference to the request once there is one."""
    request = found["request"]() if "request" in found else None
    match = getattr(request, "resolver_match", None)
    return f"/{match.route}" if match else "(none)"


class Body:
    """The answer's body, and a note when all of it has been handed over."""

    def __init__(self, chunks, done):
        self.chunks, self.done = chunks, done

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        try:
            if hasattr(self.chunks, "close"):
                self.chunks.close()
        finally:
            self.done()


def counted(application):
    """The application, counting."""

    def counting(environ, start_response):
        began, method = time.perf_counter(), environ["REQUEST_METHOD"]
        method = method if method in METHODS else "OTHER"
        # Shared by copies of the environment that middleware may make.
        found = environ[ROUTE] = {}
        answer = {"status": "500", "route": "(none)"}

        def noting(status, headers, exc_info=None):
            answer.update(status=status[:3], route=route_of(found))
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        def done():
            in_progress.dec()
            requests.labels(method, answer["route"], answer["status"]).inc()
            seconds.labels(method, answer["route"]).observe(time.perf_counter() - began)

        in_progress.inc()
        try:
            chunks = application(environ, noting)
        except BaseException:
            done()
            raise
        if isinstance(chunks, environ.get("wsgi.file_wrapper", ())):
            # Servers send files by themselves when they recognise them.
            done()
            return chunks
        return Body(chunks, done)

    return counting
