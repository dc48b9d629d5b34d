"""The web server of `internet.py`: HTTP on 80, HTTPS on 443, of every address, with a Git repository behind it.

Usage: `python world.py FOLDER`. Writes "ready" when it serves, and a line a request to FOLDER/requests.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER = sys.argv[1]
REQUESTS = os.open(f"{FOLDER}/requests", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

PAGES = {
    "/page": (
        "text/html",
        """<!doctype html><html><head><meta charset=iso-8859-1><title>Café &amp; more</title><style>p {}</style>
        <script>evil()</script></head><body><nav><a href="/">Home</a></nav><h1>Menu</h1><p>One
        <b>two</b>&nbsp;three.<br>Four<ul><li>tea<li><a href="cake?a=1&amp;b=2">cake</a></ul><ol><li>first</ol>
        <table><tr><th>what<th>price<tr><td>tea<td>2</table><pre>a  b
  c</pre><img alt="A cup" src=x><p>last <template>no</template></body></html>""".encode("latin-1"),
    ),
    "/article": (
        "text/html; charset=utf-8",
        b"<body><nav>around</nav><main><h2>Story</h2><p>" + b"word " * 100 + b"</main><footer>below</footer>",
    ),
    "/data.json": ("application/json", b'{"a": [1, 2]}'),
    "/image.png": ("image/png", b"\x89PNG\0\0"),
    "/missing": ("text/plain", b"nothing here\n"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self, body: bytes) -> None:
        os.write(REQUESTS, f"{self.command} {self.headers.get('Host')} {self.path} {len(body)}\n".encode())
        if self.path.startswith("/repo/"):
            self._git(body)
        elif self.path == "/big":
            self.send_response(200)
            self.send_header("Content-Length", str(100 << 20))
            self.end_headers()
            for _ in range(1600):
                self.wfile.write(b"x" * 65536)
        elif self.path in PAGES:
            kind, content = PAGES[self.path]
            self._answer(404 if self.path == "/missing" else 200, content, ("Content-Type", kind))
        elif self.path == "/away":
            self._answer(302, b"", ("Location", "http://evil.com/stolen"))
        else:
            self._answer(200, b"hello from " + self.headers.get("Host", "").encode() + b"\n")

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "GIT_PROJECT_ROOT": FOLDER,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path.replace("/repo/", "/repo/.git/", 1),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "somebody",  # who may push
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True, timeout=30)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        self._answer(200, content, *((name, value) for name, value in headers if name != "Status"))


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{FOLDER}/web.pem", f"{FOLDER}/web.key")
    plain, secure = Server(("::", 80), Handler), Server(("::", 443), Handler)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    os.write(1, b"ready\n")
    sys.stdin.read()  # until the tests have ended, however they do


main()
