#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: application_source
short_description: Pack a Django project into one archive and find out how to install it
version_added: 0.1.0
description:
  - Takes a folder of the controller, or a Git repository at a branch, tag or commit, and writes one gzipped tar of it into a cache,
    with the source below C(source/) and the suite's own modules below C(espalier/).
  - The archive's bytes depend on the content only, so the same source has the same digest on every machine and at every run.
  - Finds the requirements file, the arguments that pip needs and the oldest Python that the project runs on, and refuses a WSGI path, a
    settings module or a requirements file that the source does not have.
  - Writes to its cache only, and so reports no change.
options:
  repository:
    description: Address of a Git repository. Either this or O(path) is needed.
    type: str
    default: ''
  path:
    description: Folder of the controller, used when O(repository) is empty.
    type: path
  version:
    description:
      - With O(repository), the branch, tag or commit; the repository's own branch when empty.
      - With O(path), the release's name; the first 12 digits of the content's SHA-256 when empty.
    type: str
    default: ''
  directory:
    description: Folder inside the source that Python starts in, that of C(manage.py).
    type: str
    default: '.'
  runtime:
    description: Folder of Python modules that goes into the archive beside the source, as C(espalier/).
    type: path
    required: true
  exclude:
    description: Patterns of names or paths that are left out; C(.git) always is.
    type: list
    elements: str
    default: []
  requirements:
    description:
      - Requirements file, C(pyproject.toml) or C(setup.py), relative to the source's root.
      - When empty, the first that exists of C(requirements.txt), C(requirements/production.txt), C(requirements/prod.txt),
        C(pyproject.toml) and C(setup.py).
    type: str
    default: ''
  extras:
    description: Optional dependencies to install, with C(pyproject.toml) or C(setup.py).
    type: list
    elements: str
    default: []
  application:
    description: The WSGI application as C(package.module:callable).
    type: str
    required: true
  settings_module:
    description: The project's settings module.
    type: str
    required: true
  cache:
    description: Folder of the archives and of the copies of repositories.
    type: path
    required: true
author:
  - The Espalier authors
attributes:
  check_mode:
    description: Does the same, since it only fills its cache.
    support: full
"""

EXAMPLES = r"""
- name: Pack the application
  espalier.aws.application_source:
    repository: https://git.example.com/shop.git
    version: v1.4.2
    application: shop.wsgi:application
    settings_module: shop.settings
    runtime: roles/django/files/runtime
    cache: ~/.cache/espalier/sources
  register: source
"""

RETURN = r"""
version:
  description: The release's name.
  returned: success
  type: str
  sample: v1.4.2
commit:
  description: The commit, or an empty string for a folder.
  returned: success
  type: str
  sample: 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12
archive:
  description: The archive.
  returned: success
  type: str
  sample: /home/me/.cache/espalier/sources/9f86d081884c7d65.tar.gz
digest:
  description: SHA-256 of the archive.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
content_digest:
  description: SHA-256 of the project's own files, without O(runtime).
  returned: success
  type: str
  sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
install:
  description: Arguments for C(pip install), run in the source's root.
  returned: success
  type: list
  elements: str
  sample: [-r, requirements.txt]
python_minimum:
  description: Oldest Python that the project runs on, or an empty string where it does not say.
  returned: success
  type: str
  sample: "3.10"
python_reason:
  description: Who says so.
  returned: success
  type: str
  sample: Django==5.2.19
"""

import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.espalier.aws.plugins.module_utils import django_project
from ansible_collections.espalier.aws.plugins.module_utils.source_archive import (
    GENERATED,
    SourceError,
    check_out,
    content_of,
    fetch,
    files_of,
    git,
    pack,
)

ARGUMENTS = {
    "repository": {"type": "str", "default": ""},
    "path": {"type": "path"},
    "version": {"type": "str", "default": ""},
    "directory": {"type": "str", "default": "."},
    "runtime": {"type": "path", "required": True},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "requirements": {"type": "str", "default": ""},
    "extras": {"type": "list", "elements": "str", "default": []},
    "application": {"type": "str", "required": True},
    "settings_module": {"type": "str", "required": True},
    "cache": {"type": "path", "required": True},
}


def describe(root: Path, options: dict) -> dict:
    """What the project's files say, or SourceError."""
    folder = root / options["directory"]
    if not folder.is_dir():
        raise SourceError(f"app_directory is '{options['directory']}', but the source has no such folder")
    requirements = django_project.find_requirements(root, options["requirements"])
    install = django_project.install_arguments(root, requirements, options["extras"])
    installed = install[0].startswith(".")
    django_project.check_application(root, folder, options["application"], installed)
    module = options["settings_module"]
    django_project.check_module(root, folder, "app_settings_module", module, module, installed)
    floor, reason = django_project.python_floor(root, requirements, install)
    return {"install": install, "python_minimum": ".".join(map(str, floor)) if reason else "", "python_reason": reason}


def source(options: dict, scratch: Path) -> tuple[Path, str, str]:
    """Root of the source's files, commit and name; commit and name are empty for a folder."""
    if options["repository"]:
        cache = Path(options["cache"])
        cache.mkdir(parents=True, exist_ok=True)
        mirror, commit, version = fetch(options["repository"], options["version"], cache)
        return check_out(mirror, commit, scratch / "source"), commit, version
    if not options["path"]:
        raise SourceError("there is nothing to deploy: set app_repository or app_path")
    root = Path(options["path"])
    if not root.is_dir():
        raise SourceError(f"app_path is '{root}', which is no folder of this machine")
    return root, "", options["version"]


def build(options: dict) -> dict:
    with tempfile.TemporaryDirectory(prefix="espalier-source-") as scratch:
        root, commit, version = source(options, Path(scratch))
        described = describe(root, options)
        runtime = Path(options["runtime"])
        trees = {"source": (root, files_of(root, [".git", *options["exclude"]])), "espalier": (runtime, files_of(runtime, GENERATED))}
        archive, digest = pack(trees, Path(options["cache"]))
        content = content_of(*trees["source"])
    found = {"version": version or digest[:12], "commit": commit, "archive": str(archive), "digest": digest}
    return {**found, "content_digest": content, **described}


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        git("--version")
        module.exit_json(changed=False, **build(module.params))
    except SourceError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"cannot pack the source: {error}")


if __name__ == "__main__":
    main()
