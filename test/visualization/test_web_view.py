"""The live view as a browser sees it."""

from __future__ import annotations

import http.client
import json
import threading

import cv2
import numpy as np
import pytest

from hand_pose_ros.visualization.web_view import WebView

RED = np.full((24, 32, 3), (255, 0, 0), dtype=np.uint8)
BLUE = np.full((24, 32, 3), (0, 0, 255), dtype=np.uint8)


def get(view: WebView, path: str, host: str | None = None) -> http.client.HTTPResponse:
    port = int(view.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    return connection.getresponse()


def color_of(jpeg: bytes) -> list[int]:
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return np.round(picture.mean(axis=(0, 1)) / 255).astype(int).tolist()


def test_page_picture_and_facts() -> None:
    with WebView(port=0) as view:
        assert view.url.startswith("http://127.0.0.1:")
        page = get(view, "/")
        assert page.status == 200 and b'src="/stream"' in page.read()
        assert get(view, "/picture.jpg").status == 503
        view.show(RED, {"text": "left 0.9"})
        assert color_of(get(view, "/picture.jpg").read()) == [1, 0, 0]
        assert json.loads(get(view, "/facts.json").read()) == {"text": "left 0.9"}
        assert get(view, "/etc/passwd").status == 404


def test_the_stream_gives_each_new_picture_and_ends_with_the_view() -> None:
    seen: list[list[int]] = []
    first = threading.Event()

    def watch(response: http.client.HTTPResponse) -> None:
        while line := response.readline():
            if line.lower().startswith(b"content-length:"):
                response.readline()
                seen.append(color_of(response.read(int(line.split(b":")[1]))))
                first.set()

    with WebView(port=0) as view:
        view.show(RED, {})
        response = get(view, "/stream")
        assert response.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=picture"
        thread = threading.Thread(target=watch, args=(response,))
        thread.start()
        assert first.wait(20)
        first.clear()
        view.show(BLUE, {})
        assert first.wait(20)
    thread.join(20)
    assert not thread.is_alive() and seen == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(("host", "status"), [("localhost:8080", 200), ("[::1]:1", 200), ("evil.example", 403)])
def test_only_this_machine_is_answered(host: str, status: int) -> None:
    """A page of another site that lets its name point here (DNS rebinding) sees nothing."""
    with WebView(port=0) as view:
        assert get(view, "/facts.json", host).status == status


def test_a_taken_port_is_an_error() -> None:
    with WebView(port=0) as view, pytest.raises(OSError, match="in use"):
        WebView(port=int(view.url.rstrip("/").rpartition(":")[2])).__enter__()
