#!/bin/sh
# An application that answers what it was asked: on the default port and on a socket. /slow takes its time.
set -eu
cat >/usr/local/bin/echo-application <<'PYTHON'
import http.server, json, os, socketserver, sys, threading, time

class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"listener": self.server.name, "path": self.path, "headers": {n.lower(): v for n, v in self.headers.items()}}).encode()
        self.send_response(200)
        if self.path == "/own":
            self.send_header("X-Frame-Options", "DENY")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def address_string(self):
        return "client"

class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, name = True, True, "tcp"

class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads, name = True, "unix"

threading.Thread(target=Tcp(("127.0.0.1", 8000), Echo).serve_forever, daemon=True).start()
server = Unix("/run/echo.sock", Echo)
os.chmod("/run/echo.sock", 0o666)
server.serve_forever()
PYTHON
systemd-run --quiet --unit echo-application python3 /usr/local/bin/echo-application
mkdir -p /srv/assets
echo 'body {}' >/srv/assets/style.css
cp /srv/assets/style.css /srv/assets/style.5d41402abc4b.css
# Of the release before: only there is older.css, and both have style.css.
mkdir -p /srv/older
echo 'older {}' >/srv/older/older.css
cp /srv/older/older.css /srv/older/style.css
