"""/health and /ready, asked of real Django projects with awkward settings, each in a process of its own (settings are global)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.tree import ROOT

RUNTIME = ROOT / "roles" / "django" / "files" / "runtime"
# A database that is away: SQLite in a folder that does not exist fails as a server does that nobody reaches.
SQLITE_AWAY = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/db.sqlite3"}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}

SETTINGS = {
    "SECRET_KEY": "unit",
    "DEBUG": False,
    "ALLOWED_HOSTS": ["www.example.com"],
    "ROOT_URLCONF": "project.urls",
    "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    "MIDDLEWARE": [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "DATABASES": {"default": SQLITE_AWAY},
}

WSGI = """
    from django.core.wsgi import get_wsgi_application
    application = get_wsgi_application()
"""
# Whatever is asked, the page needs the database.
VIEWS = """
    from django.contrib.auth.models import User
    from django.db import connection
    from django.http import HttpResponse
    from django.urls import path, re_path, reverse

    def page(request):
        return HttpResponse(f"{User.objects.count()} users")

    urlpatterns = [path("", page, name="home")]
"""

ASK = """
    import io, json, sys
    import espalier_wsgi

    def ask(method, url, **headers):
        answer = {}
        def start_response(status, headers, exc_info=None):
            answer.update(status=int(status.split()[0]), headers=dict(headers))
        environ = {
            "REQUEST_METHOD": method, "PATH_INFO": url, "QUERY_STRING": "", "SERVER_NAME": "10.0.10.5", "SERVER_PORT": "80",
            "HTTP_HOST": "10.0.10.5", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr, "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False,
            "wsgi.version": (1, 0), "REMOTE_ADDR": "10.0.1.7", **headers,
        }
        body = espalier_wsgi.application(environ, start_response)
        answer["body"] = b"".join(body).decode()
        if hasattr(body, "close"):
            body.close()
        return answer

    print(json.dumps([ask(**request) for request in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def ask(tmp_path):
    """Ask a project whose files are given: answers of /health, or of the requests given."""

    def run(*requests, settings=None, urls="", middleware="", wsgi=WSGI, **environment):
        package = tmp_path / "project"
        package.mkdir(exist_ok=True)
        lines = [f"{name} = {value!r}" for name, value in {**SETTINGS, **(settings or {})}.items()]
        files = {"__init__": "", "settings": "\n".join(lines), "urls": textwrap.dedent(VIEWS) + textwrap.dedent(urls)}
        for name, text in {**files, "wsgi": wsgi, "middleware": middleware}.items():
            (package / f"{name}.py").write_text(textwrap.dedent(text))
        requests = requests or ({"method": "GET", "url": "/health"},)
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(ASK), json.dumps(requests)],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{tmp_path}:{RUNTIME}",
                "DJANGO_SETTINGS_MODULE": "project.settings",
                "ESPALIER_APPLICATION": "project.wsgi:application",
                **environment,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        answers = json.loads(result.stdout)
        return answers[0] if len(answers) == 1 else answers

    return run


def test_project_without_health_answers_although_host_and_database_are_wrong(ask):
    answer = ask()
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_head_has_no_body(ask):
    answer = ask({"method": "HEAD", "url": "/health"})
    assert (answer["status"], answer["body"]) == (200, "")


@pytest.mark.parametrize("hosts", [["*"], [".example.com"], ["192.0.2.1", "www.example.com"], ["[::1]"]])
def test_any_allowed_hosts(ask, hosts):
    answer = ask(settings={"ALLOWED_HOSTS": hosts})
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_no_allowed_host_means_that_no_page_can_answer(ask):
    """Django refuses every request then, but it is Django that answers: a machine more would not help."""
    answer = ask(settings={"ALLOWED_HOSTS": []})
    assert (answer["status"], answer["body"]) == (200, "OK, by 400\n")


@pytest.mark.parametrize("header", [None, ("HTTP_X_FORWARDED_PROTO", "https")])
def test_ssl_redirect_does_not_swallow_the_check(ask, header):
    """Nginx passes on that the load balancer's check came over HTTP."""
    check = {"method": "GET", "url": "/health", "HTTP_X_FORWARDED_PROTO": "http"}
    answer = ask(check, settings={"SECURE_SSL_REDIRECT": True, "SECURE_PROXY_SSL_HEADER": header})
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_other_requests_reach_the_project_untouched(ask):
    database = {"default": SQLITE}
    health, strange_host, page = ask(
        {"method": "GET", "url": "/health"},
        {"method": "GET", "url": "/health-not"},
        {"method": "POST", "url": "/health", "HTTP_HOST": "www.example.com"},
        settings={"DATABASES": database},
    )
    assert [health["status"], strange_host["status"], page["status"]] == [200, 400, 404]


def test_own_health_view_decides(ask):
    urls = "urlpatterns += [path('health', lambda request: HttpResponse('mine', headers={'X-Mine': 'yes'}))]"
    answer = ask(urls=urls)
    assert (answer["status"], answer["body"], answer["headers"]["X-Mine"]) == (200, "mine", "yes")


@pytest.mark.parametrize(
    ("own", "status", "body"), [(503, 503, "failed\n"), (500, 503, "failed\n"), (302, 200, "OK, by 302\n"), (403, 200, "OK, by 403\n")]
)
def test_own_health_view_fails_with_5xx_only(ask, own, status, body):
    answer = ask(urls=f"urlpatterns += [path('health', lambda request: HttpResponse(status={own}))]")
    assert (answer["status"], answer["body"]) == (status, body)


def test_own_health_view_that_asks_the_database(ask):
    """The group must not replace every machine because the database is away."""
    answer = ask(urls="urlpatterns += [path('health', page)]")
    assert (answer["status"], answer["body"]) == (200, "OK, without the database\n")


def test_own_health_view_with_a_bug(ask):
    assert ask(urls="urlpatterns += [path('health', lambda request: 1 / 0)]")["status"] == 503


@pytest.mark.parametrize("pattern", [r"^(?P<slug>.*)$", r"^(?P<slug>[\\w-]+)/?$", ""])
def test_catch_all_pattern_is_no_health_view(ask, pattern):
    """A page tree (flat pages, a CMS) would look the path up in the database."""
    answer = ask(urls=f"urlpatterns += [re_path('{pattern}', lambda request, slug='': page(request))]")
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_atomic_requests_do_not_open_the_database(ask):
    answer = ask(settings={"DATABASES": {"default": {**SQLITE_AWAY, "ATOMIC_REQUESTS": True}}})
    assert (answer["status"], answer["body"]) == (200, "OK\n")


MIDDLEWARE = """
    from django.contrib.auth.models import User
    from django.http import HttpResponseRedirect
    from django.urls import reverse

    def broken(get_response):
        def middleware(request):
            raise RuntimeError("broken")
        return middleware

    def asks_database(get_response):
        def middleware(request):
            request.users = User.objects.count()
            return get_response(request)
        return middleware

    def reverses(get_response):
        def middleware(request):
            response = get_response(request)
            response["X-Home"] = reverse("home")
            return response
        return middleware

    def never_built(get_response):
        raise RuntimeError("never built")
"""


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [("broken", 503, "failed\n"), ("asks_database", 200, "OK, without the database\n"), ("reverses", 200, "OK\n")],
)
def test_project_middleware_is_passed(ask, name, status, body):
    answer = ask(settings={"MIDDLEWARE": [*SETTINGS["MIDDLEWARE"], f"project.middleware.{name}"]}, middleware=MIDDLEWARE)
    assert (answer["status"], answer["body"]) == (status, body)


def test_login_required_everywhere(ask):
    middleware = [*SETTINGS["MIDDLEWARE"], "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    answer = ask(settings={"MIDDLEWARE": middleware})
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_localised_urls(ask):
    middleware = [*SETTINGS["MIDDLEWARE"], "django.middleware.locale.LocaleMiddleware"]
    urls = """
        from django.conf.urls.i18n import i18n_patterns
        urlpatterns = i18n_patterns(path("", page, name="home"))
    """
    answer = ask(settings={"MIDDLEWARE": middleware, "USE_I18N": True, "LANGUAGE_CODE": "de"}, urls=urls)
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_broken_urlconf_is_unhealthy(ask):
    assert ask(urls="import no_such_module_anywhere")["status"] == 503


def test_handler_below_other_wsgi_middleware(ask):
    wsgi = """
        from django.core.wsgi import get_wsgi_application
        inner = get_wsgi_application()

        def application(environ, start_response):
            return inner(dict(environ), start_response)
    """
    answer = ask(wsgi=wsgi)
    assert (answer["status"], answer["body"]) == (200, "OK\n")


def test_paths_can_be_chosen(ask):
    health, ready, old = ask(
        {"method": "GET", "url": "/live"},
        {"method": "GET", "url": "/database"},
        {"method": "GET", "url": "/health", "HTTP_HOST": "www.example.com"},
        settings={"DATABASES": {"default": SQLITE}},
        ESPALIER_HEALTH_PATH="/live",
        ESPALIER_READY_PATH="/database",
    )
    assert [health["status"], ready["status"], old["status"]] == [200, 200, 404]


READY = {"method": "GET", "url": "/ready"}


def test_ready_with_a_database(ask):
    answer = ask(READY, settings={"DATABASES": {"default": SQLITE}})
    assert (answer["status"], answer["body"]) == (200, "ready\n")


def test_not_ready_without_one(ask):
    answer = ask(READY)
    assert (answer["status"], answer["body"]) == (503, "database unavailable\n")
