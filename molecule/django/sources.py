"""Sources of two releases of the reference project, with uploads: without and with another column.

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


PICTURES = """
from django.db import models


class Picture(models.Model):
    file = models.FileField(upload_to="pictures")
"""
FIRST = """
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Picture",
            [("id", models.BigAutoField(primary_key=True)), ("file", models.FileField(upload_to="pictures"))],
        )
    ]
"""


def add_pictures(project: Path) -> None:
    """An application whose model takes uploads."""
    (project / "pictures" / "migrations").mkdir(parents=True)
    for name, text in {"__init__": "", "models": PICTURES, "migrations/__init__": "", "migrations/0001_initial": FIRST}.items():
        (project / "pictures" / f"{name}.py").write_text(text)
    settings = project / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + 'INSTALLED_APPS += ["pictures"]\n')


def main() -> None:
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    for version in ("1.0", "2.0"):
        shutil.copytree(ROOT / "app", folder / version)
        add_pictures(folder / version)
    (folder / "2.0" / "guestbook" / "migrations" / "0002_entry_colour.py").write_text(MIGRATION)


if __name__ == "__main__":
    main()
