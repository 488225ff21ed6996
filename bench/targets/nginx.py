"""nginx as a plain proxy with one worker: the yardstick of every run, as it does nothing but pass bytes on."""

import os
import shutil
import subprocess

from bench.targets.target import Place, Target

CONFIGURATION = """
daemon off; worker_processes 1; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_body_buffer_size 1m; client_max_body_size 16m; keepalive_requests 1000000000; tcp_nodelay on;
  upstream provider {{ server 127.0.0.1:{mock_port}; keepalive 2048; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _command(place: Place) -> list[str]:
    file = place.folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=place.folder, port=place.port, mock_port=place.mock_port))
    return [_program() or "nginx", "-c", str(file), "-p", str(place.folder), "-e", str(place.folder / "error.log")]


def _missing() -> str | None:
    return (
        None if _program() else "no nginx here; run: apt-get install -y nginx-light (with --install we do, as root)"
    )


def _install() -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit("bench: nginx is installed by root with apt-get; do that, or install it your own way")
    subprocess.run(["apt-get", "install", "-y", "-qq", "nginx-light"], check=True, stdout=subprocess.DEVNULL)


NGINX = Target("nginx", _command, _missing, _install)
