"""The project's own settings, then what only the machine knows: hosts, proxy, secret key, database and folders.

It makes a project deployable whose settings were written for a laptop. A project that reads the environment itself gets the same
values again. Switched off by `django_settings_overlay: false`.
"""

import importlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import django

_project = importlib.import_module(os.environ["ESPALIER_SETTINGS_MODULE"])
globals().update({name: getattr(_project, name) for name in dir(_project) if name.isupper()})

# .../releases/<release>/venv, which may be a link
_release = Path(sys.prefix).parent.resolve()
_data = Path(os.environ["DJANGO_DATA_DIR"])


def _own(name, default=None):
    return getattr(_project, name, default)


def _words(name):
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def _merged(*lists):
    return list(dict.fromkeys(item for words in lists for item in words or ()))


def _path(original, path):
    """A path of the type that the project uses: some settings are divided, others concatenated."""
    return path if isinstance(original, os.PathLike) else str(path)


def _writable(original, name):
    """`original`, or `name` in the data folder when it is part of the release, which the service cannot write to."""
    inside = not original or not Path(original).is_absolute() or Path(original).resolve().is_relative_to(_release)
    return _path(original, _data / name) if inside else original


DEBUG = False
if os.environ.get("DJANGO_SECRET_KEY"):
    SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]

# "*" would let any Host header through, for instance into links of password mails.
ALLOWED_HOSTS = [host for host in _merged(_own("ALLOWED_HOSTS"), _words("DJANGO_ALLOWED_HOSTS")) if host != "*"]
CSRF_TRUSTED_ORIGINS = _merged(_own("CSRF_TRUSTED_ORIGINS"), _words("DJANGO_CSRF_TRUSTED_ORIGINS"))
SECURE_PROXY_SSL_HEADER = _own("SECURE_PROXY_SSL_HEADER") or ("HTTP_X_FORWARDED_PROTO", "https")
if os.environ.get("DJANGO_HTTPS") == "true":
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # Browsers insist on HTTPS for a month, unless the project says how long. The load balancer redirects.
    SECURE_HSTS_SECONDS = _own("SECURE_HSTS_SECONDS", 2592000)

STATIC_ROOT = _path(_own("STATIC_ROOT"), _release / "static")
STATIC_URL = os.environ.get("DJANGO_STATIC_URL") or _own("STATIC_URL")
MEDIA_ROOT = _writable(_own("MEDIA_ROOT"), "media")

# Where the project leaves uploads on the machine's disk and brings django-storages, they go to S3: there is more than one machine.
_files = (_own("STORAGES") or {}).get("default", {}).get("BACKEND") or _own("DEFAULT_FILE_STORAGE") or ""
_on_disk = _files in ("", "django.core.files.storage.FileSystemStorage", "django.core.files.storage.filesystem.FileSystemStorage")
if os.environ.get("DJANGO_MEDIA_BUCKET") and _on_disk and find_spec("storages") and find_spec("boto3"):
    if django.VERSION < (4, 2) or (django.VERSION < (5, 1) and (_own("DEFAULT_FILE_STORAGE") or _own("STATICFILES_STORAGE"))):
        # Both ways at once are refused.
        DEFAULT_FILE_STORAGE = "espalier_storage.MediaStorage"
    else:
        _static = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
        STORAGES = {**(_own("STORAGES") or _static), "default": {"BACKEND": "espalier_storage.MediaStorage"}}

DATABASES = {alias: dict(database) for alias, database in (_own("DATABASES") or {}).items()}
_default = DATABASES.get("default") or {}
if os.environ.get("RDS_HOSTNAME") and _default.get("HOST") != os.environ["RDS_HOSTNAME"]:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["RDS_DB_NAME"],
        "USER": os.environ["RDS_USERNAME"],
        "PASSWORD": os.environ["RDS_PASSWORD"],
        "HOST": os.environ["RDS_HOSTNAME"],
        "PORT": os.environ["RDS_PORT"],
        "ATOMIC_REQUESTS": _default.get("ATOMIC_REQUESTS", False),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 3, "sslmode": os.environ.get("RDS_SSLMODE", "require")},
    }
for _database in DATABASES.values():
    if _database.get("ENGINE") == "django.db.backends.sqlite3":
        _database["NAME"] = _writable(_database.get("NAME"), Path(_database.get("NAME") or "db.sqlite3").name)

# Django's own default tells nobody but the administrators by mail, and a 500 would leave no trace.
if not _own("LOGGING"):
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
    }

globals().update(json.loads(os.environ.get("ESPALIER_SETTINGS") or "{}"))
