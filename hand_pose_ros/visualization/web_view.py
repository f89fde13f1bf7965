"""Live pictures in a browser, by the standard library alone: for a desk without windows, ROS or a display.

`http://127.0.0.1:8080/` shows the pictures as they come (Motion JPEG), `/picture.jpg` the newest one, `/facts.json`
what goes with it. It listens to this machine alone unless told otherwise, and answers only requests that are made to
the address it was given: a web page from elsewhere cannot read the camera through the browser.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

import cv2

from hand_pose_ros.types import ByteArray

# A stream that waits for a picture looks this often (s) whether the view has ended.
_PATIENCE: Final = 0.5
_QUALITY: Final = 80
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>hand_pose</title><style>
body{margin:0;background:#18181c;color:#ddd;font:14px system-ui,sans-serif}
img{display:block;margin:auto;max-width:100%;max-height:calc(100vh - 3em)}
p{text-align:center;margin:.6em}a{color:#8bf}</style></head><body><img src="/stream" alt="live hands">
<p id="facts">waiting for the first picture</p><script>
setInterval(async () => {
  const facts = await (await fetch("/facts.json")).json();
  document.getElementById("facts").textContent = facts.text ?? "waiting for the first picture";
}, 500);
</script></body></html>
"""


class WebView:
    """A server of the newest picture; a context manager.

    Args:
        host: the address to listen on; 127.0.0.1 is this machine alone.
        port: 0 takes a free one.

    Raises:
        OSError: on entering: the address cannot be listened on (another program has the port).
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080) -> None:
        self._address = (host, port)
        self._news = threading.Condition()
        self._picture: ByteArray | None = None
        self._facts: Mapping[str, Any] = {}
        self._number = 0
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._ended = False

    def __enter__(self) -> WebView:
        self._server = _Server(self._address, _Handler)
        self._server.view = self
        self._thread = threading.Thread(target=self._server.serve_forever, name="web_view", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._ended = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where to look."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    def show(self, picture: ByteArray, facts: Mapping[str, Any]) -> None:
        """Replace the newest picture (H, W, 3) RGB and what goes with it (fit for JSON; "text" stands below it)."""
        with self._news:
            self._picture, self._facts = picture, facts
            self._number += 1
            self._news.notify_all()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What goes with the newest picture."""
        return self._facts

    def next_jpeg(self, after: int, patience_s: float = _PATIENCE) -> tuple[int, bytes] | None:
        """(number, JPEG) of a picture newer than `after`; None where none came in time or the view has ended.

        Encoded once, whoever asks first, and not at all where nobody does.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._number > after, patience_s)
            if self._ended or self._number <= after or self._picture is None:
                return None
            if self._jpeg[0] != self._number:
                _, data = cv2.imencode(
                    ".jpg", cv2.cvtColor(self._picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                )
                self._jpeg = self._number, data.tobytes()
            return self._jpeg

    @property
    def ended(self) -> bool:
        """Whether the view has been left."""
        return self._ended

    def answers(self, host: str) -> bool:
        """Whether a request made to this host is ours to answer."""
        name = host.rpartition(":")[0] or host
        mine = self._address[0]
        return mine not in _LOOPBACK or name.strip("[]") in _LOOPBACK


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    view: WebView

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        view = self.server.view
        if not view.answers(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._send("text/html; charset=utf-8", _PAGE.encode())
        elif self.path == "/facts.json":
            self._send("application/json", json.dumps(dict(view.facts)).encode())
        elif self.path == "/picture.jpg":
            newest = view.next_jpeg(0)
            if newest is None:
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "no picture yet")
            else:
                self._send("image/jpeg", newest[1])
        elif self.path == "/stream":
            self._stream(view)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Every request of a live view would be a line."""

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, view: WebView) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        number = 0
        while not view.ended:
            newest = view.next_jpeg(number)
            if newest is not None:
                number, data = newest
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
