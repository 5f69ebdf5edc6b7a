#!/bin/sh
# What EC2 gives a machine, and somebody who writes: a service that says what it is told to, Nginx, and a file.
set -eu
case "$VARIABLES" in
  defaults) unit=gunicorn ;;
  altered) unit=worker ;;
esac
# The metadata's address has a port 80 of its own, which Nginx leaves alone when it has one address only.
address="$(hostname -I | cut -d ' ' -f 1)"
printf 'server { listen %s:80; }\n' "$address" >/etc/nginx/sites-available/default
systemctl stop nginx
systemd-run --quiet --unit instance-metadata python3 "$PROJECT/tests/molecule/metadata.py" "$(hostname)"
# Each write to the pipe is a line in the journal.
cat >"/etc/systemd/system/$unit.service" <<UNIT
[Service]
ExecStartPre=/bin/sh -c 'rm -f /run/say && mkfifo /run/say'
ExecStart=/bin/sh -c 'while true; do cat /run/say; done'
UNIT
systemctl daemon-reload
systemctl start "$unit"
echo "before the agent" >/var/log/audit.log
chgrp adm /var/log/audit.log
systemctl start nginx
