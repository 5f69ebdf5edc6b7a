# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values that are made inside a module and go straight to Secrets Manager."""

from __future__ import annotations

import json
import secrets
import string

ALPHABET = string.ascii_letters + string.digits + "-_"


def generate(length, username=None):
    """A random string; with a user name the JSON object that AWS keeps database credentials as."""
    value = "".join(secrets.choice(ALPHABET) for _ in range(length))
    return json.dumps({"username": username, "password": value}) if username else value
