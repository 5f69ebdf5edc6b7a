"""Sources of two releases of the reference project: as it is, and with another column.

python molecule/django/sources.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guestbook", "0001_initial")]
    operations = [migrations.AddField("entry", "colour", models.CharField(max_length=20, null=True))]
"""


def main() -> None:
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    for version in ("1.0", "2.0"):
        shutil.copytree(ROOT / "app", folder / version)
    (folder / "2.0" / "guestbook" / "migrations" / "0002_entry_colour.py").write_text(MIGRATION)


if __name__ == "__main__":
    main()
