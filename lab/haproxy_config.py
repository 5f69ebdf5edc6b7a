"""HAProxy's configuration as an application load balancer behaves: pure functions from the account's model to text.

What a rule decides is worked out first (`txn.rule`), since HAProxy runs all redirects before it looks at a backend, while AWS's rules
have one order.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

# AWS's idle timeout where the attribute is not set, and how long it waits for a target to accept a connection: seconds.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
IDLE_TIMEOUT = 60
CONNECT_TIMEOUT = 10
ERRORS = {
    400: "Bad Request",
    408: "Request Time-out",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
# HAProxy says 503 when a target does not accept the connection, AWS 502.
SAID_BY_HAPROXY = {400: 400, 408: 408, 500: 500, 502: 502, 503: 502, 504: 504}
FOLDER = "/etc/haproxy"


@dataclass(frozen=True)
class Server:
    """A target as HAProxy knows it. Another address or port makes another server, which must pass its checks anew."""

    target_id: str
    address: str
    port: int

    @property
    def name(self) -> str:
        """Holds, after the first underscore, what health checks send as Host: AWS sends the target's address."""
        host = self.address if self.port in (80, 443) else f"{self.address}:{self.port}"
        return f"{self.target_id}_{host}"

    @property
    def spare_name(self) -> str:
        """The same target without checks, used only when no checked one is up: AWS then sends requests to all."""
        return f"{self.name}_spare"


def as_server(target: dict) -> Server | None:
    """None for a target that has no address, or that is stopped."""
    return None if target["stopped"] or not target["address"] else Server(target["id"], target["address"], target["port"])


def backend_name(target_group: dict) -> str:
    return f"tg_{target_group['name']}"


def error_page(status: int) -> str:
    """The whole response that AWS's load balancer gives for an error of its own."""
    title = f"{status} {ERRORS[status]}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    head = ("Server: awselb/2.0", "Content-Type: text/html", f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((f"HTTP/1.1 {title}", *head, "", body))


def server_options(target_group: dict, scale: float) -> str:
    """The part of a server line or `add server` command after the address. Waits are divided by `scale`, thresholds are AWS's."""
    check = target_group["health_check"]
    options = [
        "check",
        f"inter {max(100, round(check['interval'] * 1000 / scale))}ms",
        f"rise {check['healthy']}",
        f"fall {check['unhealthy']}",
    ]
    if str(check["port"]).isdigit():
        options.append(f"port {check['port']}")
    if check["protocol"] == "HTTPS":
        options.append("check-ssl")
    return " ".join([*options, *encryption(target_group)])


def spare_options(target_group: dict) -> str:
    return " ".join(["backup", *encryption(target_group)])


def encryption(target_group: dict) -> list[str]:
    """AWS encrypts to a target but does not verify who it is. The words are taken where only the checks are encrypted, too."""
    check_only = target_group["health_check"]["protocol"] == "HTTPS"
    return (["ssl"] if target_group["protocol"] == "HTTPS" else []) + (
        ["verify none"] if target_group["protocol"] == "HTTPS" or check_only else []
    )


# --- the file


def render(load_balancer: dict, target_groups: dict[str, dict], published: dict[int, int], scale: float) -> str:
    """The whole file but for the servers, which come and go without a reload; `with_servers` adds them.

    `published` maps a listener's port to the port at which people on this machine reach it.
    """
    used = sorted(target_groups.values(), key=lambda group: group["name"])
    parts = [_global(), _defaults(load_balancer)]
    parts += [_frontend(listener, load_balancer, target_groups, published) for listener in load_balancer["listeners"]]
    parts += [_backend(group, scale) for group in used]
    return "\n".join(parts)


def with_servers(text: str, present: dict[str, set[str]], target_groups: dict[str, dict], scale: float) -> str:
    """Add the servers that HAProxy has now, by backend, so that a reload keeps them and, with the state file, what their checks found."""
    for group in target_groups.values():
        names, lines = present.get(backend_name(group), set()), []
        for server in filter(None, map(as_server, group["targets"])):
            for name, options in ((server.name, server_options(group, scale)), (server.spare_name, spare_options(group))):
                if name in names:
                    lines.append(f"  server {name} {server.address}:{server.port} {options}")
        text = text.replace(_servers_mark(group), "\n".join(lines))
    return text


def _servers_mark(target_group: dict) -> str:
    return f"  # servers of {backend_name(target_group)}"


def _global() -> str:
    return f"""global
  log stdout format raw local0
  # One thread: the commands of one line take effect together.
  nbthread 1
  stats socket /run/haproxy/admin.sock mode 600 level admin
  server-state-file {FOLDER}/servers.state
"""


def _defaults(load_balancer: dict) -> str:
    idle = int(load_balancer["attributes"].get("idle_timeout.timeout_seconds") or IDLE_TIMEOUT)
    errors = "\n".join(f"  errorfile {status} {FOLDER}/errors/{shown}.http" for status, shown in SAID_BY_HAPROXY.items())
    return f"""defaults
  mode http
  log global
  option httplog
  # AWS does not try another target.
  retries 0
  timeout connect {CONNECT_TIMEOUT}s
  timeout client {idle}s
  timeout server {idle}s
  timeout tunnel {idle}s
  timeout http-request {idle}s
  timeout http-keep-alive {idle}s
  option abortonclose
  load-server-state-from-file global
{errors}
"""


def _backend(target_group: dict, scale: float) -> str:
    check = target_group["health_check"]
    balance = "leastconn" if target_group["algorithm"] == "least_outstanding_requests" else "roundrobin"
    lines = [
        f"backend {backend_name(target_group)}",
        # A number that stays when other backends come and go: the state file names it.
        f"  id {zlib.crc32(target_group['arn'].encode()) & 0x3FFFFFFF | 0x40000000}",
        f"  balance {balance}",
        "  option allbackups",
        # A worker that a reload replaces counts no servers, but still has them for its last requests.
        f"  http-request return status 503 errorfile {FOLDER}/errors/503.http if {{ nbsrv eq 0 }} !{{ stopping }}",
        "  option httpchk",
        "  http-check connect linger" + (" ssl" if check["protocol"] == "HTTPS" else ""),
        f"  http-check send meth GET uri {quoted(check['path'] or '/')} ver HTTP/1.1 "
        'hdr Host "%[srv_name,field(2,_)]" hdr User-Agent ELB-HealthChecker/2.0',
        f"  http-check expect status {check['matcher']}",
        # A slow target is slow at any time scale: only the waits between checks are divided.
        f"  timeout check {check['timeout']}s",
        _servers_mark(target_group),
    ]
    return "\n".join(lines) + "\n"


def _frontend(listener: dict, load_balancer: dict, target_groups: dict[str, dict], published: dict[int, int]) -> str:
    lines = [f"frontend listener_{listener['port']}", f"  bind :{listener['port']}{_tls(listener)}"]
    # A rule that forwards to nothing.
    lines.append(f"  errorfile 503 {FOLDER}/errors/503.http")
    routes: list[str] = []
    for number, rule in enumerate(listener["rules"]):
        conditions = " ".join(condition(item) for item in rule["conditions"])
        lines.append(f"  http-request set-var(txn.rule) int({number}) if !{{ var(txn.rule) -m found }} {conditions}".rstrip())
    for number, rule in enumerate(listener["rules"]):
        chosen = f"{{ var(txn.rule) -m int eq {number} }}"
        action = rule["actions"][-1]
        if action["Type"] == "redirect":
            lines += redirect(action["RedirectConfig"], listener, chosen, published)
        elif action["Type"] == "fixed-response":
            lines.append(fixed_response(action["FixedResponseConfig"], chosen))
        elif action["Type"] == "forward":
            routes += forward(action, target_groups, chosen)
        else:
            raise ValueError(f"the lab's load balancer has no action {action['Type']}")
    lines += forwarded_headers(listener, load_balancer)
    return "\n".join([*lines, *routes]) + "\n"


def _tls(listener: dict) -> str:
    if listener["protocol"] != "HTTPS":
        return ""
    policy = listener["ssl_policy"] or ""
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
    if re.search(r"TLS13-1-3|1-3-20", policy):
        oldest = "TLSv1.3"
    elif re.search(r"TLS13-1-2|TLS-1-2|FS-1-2", policy):
        oldest = "TLSv1.2"
    elif re.search(r"TLS13-1-1|TLS-1-1|FS-1-1", policy):
        oldest = "TLSv1.1"
    else:
        oldest = "TLSv1.0"
    newest = "" if "TLS13" in policy else " ssl-max-ver TLSv1.2"
    certificates = " ".join(f"crt {FOLDER}/certificates/{certificate_file(one)}" for one in listener["certificates"])
    return f" ssl {certificates} alpn h2,http/1.1 ssl-min-ver {oldest}{newest}"


def certificate_file(certificate: dict) -> str:
    """A file's name that changes with the certificate, so that a new import is a new configuration."""
    return f"{certificate['arn'].rpartition('/')[2]}-{certificate['digest']}.pem"


def forwarded_headers(listener: dict, load_balancer: dict) -> list[str]:
    """What the load balancer tells a target about the client; what the client claimed about protocol and port is replaced."""
    mode = load_balancer["attributes"].get("routing.http.xff_header_processing.mode", "append")
    known = "{ req.fhdr(X-Forwarded-For) -m found }"
    lines = {
        "append": [
            f'  http-request set-header X-Forwarded-For "%[req.fhdr(X-Forwarded-For)], %[src]" if {known}',
            f"  http-request set-header X-Forwarded-For %[src] if !{known}",
        ],
        "remove": ["  http-request del-header X-Forwarded-For"],
    }.get(mode, [])
    return [
        *lines,
        f"  http-request set-header X-Forwarded-Proto {listener['protocol'].lower()}",
        f"  http-request set-header X-Forwarded-Port {listener['port']}",
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html
        "  unique-id-format 1-%{+X}Ts",
        "  http-request set-var(txn.trace) unique-id,lower",
        "  http-request set-var-fmt(txn.trace) %[var(txn.trace)]-%[uuid(),regsub(-,,g),bytes(0,24)]",
        '  http-request set-header X-Amzn-Trace-Id "Self=%[var(txn.trace)];%[req.fhdr(X-Amzn-Trace-Id)]" '
        "if { req.fhdr(X-Amzn-Trace-Id) -m sub Root= }",
        "  http-request set-header X-Amzn-Trace-Id Root=%[var(txn.trace)] if !{ req.fhdr(X-Amzn-Trace-Id) -m sub Root= }",
    ]


# --- conditions


def condition(item: dict) -> str:
    """One condition of a rule as an HAProxy condition. All values of one condition are alternatives."""
    field = item["Field"]

    def values(config: str) -> list[str]:
        return (item.get(config) or {}).get("Values") or item.get("Values") or []

    if field == "path-pattern":
        return matches("path", [glob(value) for value in values("PathPatternConfig")])
    if field == "host-header":
        return matches("req.hdr(Host),field(1,:)", [glob(value) for value in values("HostHeaderConfig")], ignore_case=True)
    if field == "http-header":
        name = item["HttpHeaderConfig"]["HttpHeaderName"]
        return matches(f"req.fhdr({name})", [glob(value) for value in values("HttpHeaderConfig")], ignore_case=True)
    if field == "http-request-method":
        return f"{{ method -m str {' '.join(values('HttpRequestMethodConfig'))} }}"
    if field == "source-ip":
        return f"{{ src {' '.join(values('SourceIpConfig'))} }}"
    if field == "query-string":
        pairs = [
            (glob(pair["Key"])[1:-1] + "=" if pair.get("Key") else "(?:[^&]*=)?") + glob(pair["Value"])[1:-1]
            for pair in item["QueryStringConfig"]["Values"]
        ]
        return matches("query", [f"(?:^|&){pair}(?:&|$)" for pair in pairs], ignore_case=True)
    raise ValueError(f"the lab's load balancer has no condition {field}")


def matches(sample: str, patterns: list[str], *, ignore_case: bool = False) -> str:
    return f"{{ {sample} -m reg {'-i ' if ignore_case else ''}{' '.join(quoted(pattern) for pattern in patterns)} }}"


def glob(pattern: str) -> str:
    """AWS's wildcards as a regular expression: * is any text, ? is one character."""
    return "^" + "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern) + "$"


def quoted(text: str) -> str:
    """One word of HAProxy's configuration, nothing in it special."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- actions


def forward(action: dict, target_groups: dict[str, dict], chosen: str) -> list[str]:
    """One backend, or several by weight."""
    config = (action.get("ForwardConfig") or {}).get("TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn"), "Weight": 1}]
    groups = [(target_groups[one["TargetGroupArn"]], int(one.get("Weight", 1))) for one in config if one["TargetGroupArn"] in target_groups]
    groups = [(group, weight) for group, weight in groups if weight > 0]
    lines, remaining = [], sum(weight for _, weight in groups)
    for group, weight in groups:
        # Each throw is a new one, among the groups that are left.
        dice = "" if weight == remaining else f" {{ rand({remaining}) lt {weight} }}"
        lines.append(f"  use_backend {backend_name(group)} if {chosen}{dice}")
        remaining -= weight
    return lines


def redirect(config: dict, listener: dict, chosen: str, published: dict[int, int]) -> list[str]:
    """AWS's redirect. Who came in by the port that this machine publishes is sent to a published port, too."""
    code = {"HTTP_301": 301, "HTTP_302": 302}[config["StatusCode"]]
    protocol = config.get("Protocol", "#{protocol}").replace("#{protocol}", listener["protocol"]).lower()
    port = config.get("Port", "#{port}").replace("#{port}", str(listener["port"]))
    host = _placeholders(config.get("Host", "#{host}"))
    query = config.get("Query", "#{query}")
    path = _placeholders(config.get("Path", "/#{path}")) + (f"?{_placeholders(query)}" if query else "")
    by_published = f"{{ req.hdr(Host) -m end :{published.get(listener['port'], listener['port'])} }}"
    seen = published.get(int(port), port)
    return [
        f'  http-request redirect code {code} location "{protocol}://{host}:{seen}{path}" if {chosen} {by_published}',
        f'  http-request redirect code {code} location "{protocol}://{host}:{port}{path}" if {chosen}',
    ]


def _placeholders(text: str) -> str:
    text = text.replace("%", "%%").replace('"', '\\"')
    text = text.replace("#{host}", "%[req.hdr(Host),field(1,:)]").replace("#{query}", "%[query]")
    return text.replace("#{path}", "%[path,regsub(^/,,)]")


def fixed_response(config: dict, chosen: str) -> str:
    body, kind = config.get("MessageBody", ""), config.get("ContentType", "text/plain")
    content = f" content-type {quoted(kind)} string {quoted(body)}" if body else ""
    return f"  http-request return status {config['StatusCode']}{content} hdr Server awselb/2.0 if {chosen}"
