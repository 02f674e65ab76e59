"""A local accounts server and one API, over plain HTTP, with a log of what was asked.

Refresh tokens rotate if `rotate` is set: an old one is refused then.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Fake:
    """The server. Use it with `with`."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.revoked: list[str] = []
        self.api_calls: list[str] = []
        self.lifetime = 3600.0
        self.delay = 0.0
        self.rotate = False
        #: What the token endpoint answers instead of a token.
        self.error: str | None = None
        #: Called during each request for a token.
        self.during: Callable[[], object] = lambda: None
        self.email = "ada@example.com"
        self._count = 0
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(fake.revoke(form) if self.path.endswith("/revoke") else fake.token(form))

            def do_GET(self) -> None:
                with fake._lock:
                    fake.api_calls.append(self.headers.get("Authorization") or "")
                user = {"id": "1", "email": fake.email, "full_name": "Ada"}
                info = {"per_page": 200, "count": 1, "page": 1, "more_records": False}
                self._answer({"users": [user], "info": info} if urlsplit(self.path).path.endswith("/users") else {})

            def _answer(self, answer: dict[str, Any]) -> None:
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Fake:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        with self._lock:
            self._count += 1
            number = self._count
            self.requests.append(form)
        time.sleep(self.delay)
        self.during()
        if self.error is not None:
            return {"error": self.error}
        answer: dict[str, Any] = {
            "access_token": f"access-{number}",
            "api_domain": self.url,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }
        if form.get("grant_type") == "authorization_code" or self.rotate:
            answer["refresh_token"] = f"refresh-{number}"
        return answer

    def revoke(self, form: dict[str, str]) -> dict[str, Any]:
        with self._lock:
            self.revoked.append(form["token"])
        return {"status": "success"}

    @property
    def refreshes(self) -> int:
        return sum(form.get("grant_type") == "refresh_token" for form in self.requests)
