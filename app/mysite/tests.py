import os
import subprocess
import sys
from unittest import mock

from django.conf import settings
from django.db import OperationalError, connection
from django.test import SimpleTestCase, TestCase


class LiveTests(SimpleTestCase):
    """SimpleTestCase fails on any query: /health must answer without the database."""

    def test_live(self):
        response = self.client.get("/health")
        self.assertEqual((response.status_code, response.content), (200, b"OK\n"))


class ReadyTests(TestCase):
    def test_database_answers(self):
        self.assertEqual(self.client.get("/ready").status_code, 200)

    def test_database_is_away(self):
        with mock.patch.object(connection, "cursor", side_effect=OperationalError):
            self.assertEqual(self.client.get("/ready").status_code, 503)


class ProductionSettingsTests(SimpleTestCase):
    def run_python(self, *arguments, **variables):
        environment = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "DJANGO_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP",
            "DJANGO_ALLOWED_HOSTS": "www.example.com",
            **variables,
        }
        return subprocess.run(
            [sys.executable, *arguments], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False
        )

    def test_deployment_checks_are_clean(self):
        result = self.run_python("manage.py", "check", "--deploy", "--fail-level", "WARNING", DJANGO_HTTPS="true")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_five_variables_choose_postgresql(self):
        code = "from django.conf import settings; print(settings.DATABASES['default']['ENGINE'])"
        variables = {"RDS_DB_NAME": "a", "RDS_USERNAME": "b", "RDS_PASSWORD": "c", "RDS_HOSTNAME": "d", "RDS_PORT": "5432"}
        self.assertIn("postgresql", self.run_python("-c", code, **variables).stdout)
        variables.pop("RDS_PORT")
        self.assertIn("sqlite3", self.run_python("-c", code, **variables).stdout)
