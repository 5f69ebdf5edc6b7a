#!/bin/sh
# What EC2 gives a machine, and what the roles gunicorn and nginx make, as little of it as a release needs to serve. Then the way out is closed:
# a release brings everything, and its bucket is next door.
set -eu
case "$VARIABLES" in
  defaults) name=django-app user=django-app home=/srv/django-app ;;
  altered) name=shop user=web home=/srv/shops/one ;;
esac
cat >/etc/systemd/system/gunicorn.socket <<UNIT
[Socket]
ListenStream=/run/gunicorn.sock

[Install]
WantedBy=sockets.target
UNIT
cat >/etc/systemd/system/gunicorn.service <<UNIT
[Unit]
Requires=gunicorn.socket
Wants=django-environment.service
After=gunicorn.socket django-environment.service

[Service]
Type=notify
NotifyAccess=main
User=$user
WorkingDirectory=$home
EnvironmentFile=$home/current/environment
EnvironmentFile=/run/$name/environment
ExecStart=/bin/sh $home/current/serve --bind unix:/run/gunicorn.sock espalier_wsgi:application

[Install]
WantedBy=multi-user.target
UNIT
cat >/etc/nginx/sites-available/default <<NGINX
server {
    # Not everywhere: instance metadata have an address of their own.
    listen 127.0.0.1:80;
    listen $(hostname -I | cut -d ' ' -f 1):80;
    location / {
        proxy_pass http://unix:/run/gunicorn.sock;
        proxy_set_header Host \$http_host;
        proxy_set_header X-Forwarded-Proto \$http_x_forwarded_proto;
    }
}
NGINX
systemctl daemon-reload
systemctl restart nginx
systemd-run --quiet --unit instance-metadata python3 "$PROJECT/tests/molecule/metadata.py"

# The metadata's server looks at the route before it answers.
until curl --silent --fail --request PUT --output /dev/null http://169.254.169.254/latest/api/token; do sleep 0.1; done
ip route delete default
