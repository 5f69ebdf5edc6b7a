"""What a lab container takes over from this machine so that it can reach the package registries: Debian mirrors, certificate authorities,
proxies and pip's settings. Nothing of it is written into the repository."""

from __future__ import annotations

import configparser
import functools
import os
import re
import subprocess
from pathlib import Path

from lab.settings import SETTINGS, Settings

# Where Debian keeps what its administrator trusts besides the distribution's certificates.
ADDED_AUTHORITIES = Path("/usr/local/share/ca-certificates")
DEFAULT_SOURCES = """\
deb http://deb.debian.org/debian {suite} main
deb http://deb.debian.org/debian {suite}-updates main
deb http://deb.debian.org/debian-security {suite}-security main
"""
# The release of the lab's machines.
BOOKWORM = "bookworm"
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# Shared by all machines of the lab, on them.
PIP_CACHE = "/var/cache/pip"
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")


@functools.cache
def apt_sources(suite: str = BOOKWORM) -> str:
    """A sources.list for the release `suite`: the machine's own Debian mirrors when it runs bookworm, Debian's public ones otherwise."""
    default = DEFAULT_SOURCES.format(suite=suite)
    if f"VERSION_CODENAME={BOOKWORM}" not in Path("/etc/os-release").read_text():
        return default
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.[ls]*"))]
    entries = []
    for file in files:
        if file.is_file():
            entries += (deb822_entries if file.suffix == ".sources" else one_line_entries)(file.read_text())
    lines = [
        f"deb {uri} {name.replace(BOOKWORM, suite)} {components}\n"
        for uri, name, components in entries
        if name.startswith(BOOKWORM) and "debian" in uri
    ]
    return "".join(lines) if any(line.split()[2] == suite for line in lines) else default


def one_line_entries(text: str) -> list[tuple[str, str, str]]:
    """Address, suite and components of each line of a sources.list. (`apt-get indextargets` tells the same in half a second.)"""
    found = re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+?)\s*(?:#.*)?$", text, re.MULTILINE)
    return [(uri, suite, " ".join(components.split())) for uri, suite, components in found]


def deb822_entries(text: str) -> list[tuple[str, str, str]]:
    """Address, suite and components of each enabled stanza of a .sources file."""
    found = []
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields = {
            name.lower(): " ".join(value.split()) for name, value in re.findall(r"^(\S+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            for uri in fields["uris"].split():
                found += [(uri, suite, fields.get("components", "")) for suite in fields["suites"].split()]
    return found


@functools.cache
def apt_configuration() -> str:
    """The machine's `Acquire` settings (proxies, mirrors that carry old dates), as an apt.conf."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    wanted = re.compile(r'^Acquire::(https?::|Check-Valid-Until|Check-Date|Retries)[^"]*"[^"]+";$')
    return "".join(f"{line}\n" for line in dump.splitlines() if wanted.match(line))


def certificate_authorities() -> dict[str, str]:
    """The certificates that were added to this machine's own (a company's proxy, say), by file name."""
    return {path.name: path.read_text() for path in sorted(ADDED_AUTHORITIES.glob("**/*.crt"))}


def environment(settings: Settings = SETTINGS) -> dict[str, str]:
    """Proxies and pip's settings of the machine, as environment variables."""
    values = {name: os.environ[name] for name in PROXIES if os.environ.get(name)}
    if values:
        # The lab's own addresses are never behind a proxy.
        own = f"{settings.network_cidr},{settings.gateway},169.254.169.254"
        local = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), own)))
        values.update(no_proxy=local, NO_PROXY=local)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(["/etc/pip.conf", Path.home() / ".pip" / "pip.conf", Path.home() / ".config" / "pip" / "pip.conf"])
    for option in PIP_OPTIONS:
        name = "PIP_" + option.upper().replace("-", "_")
        value = os.environ.get(name) or parser.get("global", option, fallback=None)
        if value:
            values[name] = " ".join(value.split())
    return values


def variables(settings: Settings) -> dict[str, str]:
    """Environment variables of everything that runs on an instance."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    return {
        # Where AWS's own tools on an instance find the lab. The region they must ask instance metadata for, as on AWS.
        "AWS_ENDPOINT_URL": f"http://{settings.gateway}:{settings.api_port}",
        # Python's HTTP clients bring certificate authorities of their own unless they are told.
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        "PIP_CERT": bundle,
        "PIP_CACHE_DIR": PIP_CACHE,
        **environment(settings),
    }


def write_environment(settings: Settings) -> Path:
    """The folder with an instance's /etc/environment and systemd's defaults. Not in the image: a proxy's address may hold a password."""
    folder = settings.state / "machine"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    values = variables(settings)
    (folder / "environment").write_text("".join(f'{name}="{value}"\n' for name, value in values.items()))
    quoted = " ".join(f'"{name}={value}"' for name, value in values.items())
    (folder / "systemd.conf").write_text(f"[Manager]\nDefaultEnvironment={quoted}\n".replace("%", "%%"))
    return folder
