"""The program behind `ctx.fetch`: one request, in a sandbox of its own. `python -I -S -B fetch.py METHOD URL`.

Standard input is one line of JSON (`headers`, `body` in base64, `max_bytes`). Standard output is one line of JSON
(`status`, `url`, `headers`, `truncated`, or `error`) and then the body. Run by its path with the standard library
alone; the only way out of the sandbox is the host's proxy, which judges every connection by the policy.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import sys
import zlib
from base64 import b64decode
from typing import Any
from urllib.parse import urljoin, urlsplit

__all__ = ["main"]

_PROXY = ("127.0.0.1", 3128)
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_CHUNK = 1 << 16
_HEADERS = 64 << 10
_OWN = ("authorization", "cookie", "proxy-authorization")  # for the server they were meant for, not for another
_TUNNEL = re.compile(r"Tunnel connection failed: \d+ (\w+)")


class _FetchError(Exception):
    """Raised for a request that has no answer: a code and a sentence."""


def main(method: str, url: str) -> int:
    """Make the request and print what came of it."""
    asked = json.loads(sys.stdin.buffer.read())
    try:
        head, body = _follow(method, url, asked["headers"], b64decode(asked["body"]), asked["max_bytes"])
    except _FetchError as failure:
        head, body = {"error": {"code": failure.args[0], "message": failure.args[1]}}, b""
    except (OSError, http.client.HTTPException, ValueError) as error:
        host = urlsplit(url).netloc
        head, body = {"error": {"code": "fetch_failed", "message": f"{host} cannot be fetched from: {error}."}}, b""
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + body)
    return 0


def _follow(
    method: str, url: str, headers: dict[str, str], body: bytes, max_bytes: int
) -> tuple[dict[str, Any], bytes]:
    for _ in range(_MOST_REDIRECTS + 1):
        connection, answer = _ask(method, url, headers, body)
        try:
            location = answer.getheader("location")
            if answer.status not in _REDIRECTS or location is None:
                data, truncated = _body(answer, max_bytes)
                return {**_head(answer), "url": url, "truncated": truncated}, data
        finally:
            connection.close()
        before, url = urlsplit(url), urljoin(url, location)
        after = urlsplit(url)
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            headers = {name: value for name, value in headers.items() if name.lower() not in _OWN}
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method, body = "GET", b""
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
    raise _FetchError("too_many_redirects", f"The server redirected more than {_MOST_REDIRECTS} times.")


def _ask(
    method: str, url: str, headers: dict[str, str], body: bytes
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _FetchError("bad_url", "The server redirected to an address that is none.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(*_PROXY, context=context)
        connection.set_tunnel(parts.hostname, parts.port or 443)
    else:
        connection = http.client.HTTPConnection(*_PROXY)
        path = f"http://{parts.netloc}{path}"
    sent = {"Host": parts.netloc, "User-Agent": "toolhost", "Accept-Encoding": "gzip", "Connection": "close"}
    given = {name.lower() for name in headers}
    sent = {name: value for name, value in sent.items() if name.lower() not in given} | headers
    try:
        connection.request(method, path, body=body or None, headers=sent)
    except OSError as error:
        if refused := _TUNNEL.fullmatch(str(error)):
            raise _FetchError(refused[1], f"{parts.netloc} cannot be reached: {refused[1]}.") from None
        raise
    answer = connection.getresponse()
    if answer.getheader("proxy-status", "").startswith("toolhost;"):
        raise _FetchError(answer.reason, answer.read(1000).decode("utf-8", "replace").strip())
    return connection, answer


def _head(answer: http.client.HTTPResponse) -> dict[str, Any]:
    headers: dict[str, str] = {}
    room = _HEADERS
    for name, value in answer.getheaders():
        room -= len(name) + len(value)
        if room < 0:
            break
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {"status": answer.status, "headers": headers}


def _body(answer: http.client.HTTPResponse, max_bytes: int) -> tuple[bytes, bool]:
    """The body, decompressed as it comes: what is small on the way in must not grow past what is taken."""
    packed = answer.getheader("content-encoding", "").strip().lower() in ("gzip", "x-gzip")
    unpacker = zlib.decompressobj(wbits=31) if packed else None
    data = bytearray()
    while len(data) <= max_bytes and (chunk := answer.read(_CHUNK)):
        if unpacker is None:
            data += chunk
            continue
        try:
            data += unpacker.decompress(chunk, max_bytes + 1 - len(data))
        except zlib.error as error:
            raise _FetchError("fetch_failed", f"The server sent data that is not gzip, as it says: {error}.") from error
    return bytes(data[:max_bytes]), len(data) > max_bytes


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
