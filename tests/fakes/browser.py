"""Chromium without a screen, spoken to by the W3C WebDriver protocol, and a server for its pages.

Both need nothing but the packages chromium and chromium-driver; who uses them skips without those.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEDIA_TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".avi": "video/x-msvideo"}
PAGE = "<!doctype html><title>export</title><body></body>"
PICTURES = """
const done = arguments[0], video = document.createElement('video'), times = TIMES;
const canvas = document.createElement('canvas'), pictures = [];
const tell = what => done({what, error: video.error && video.error.message,
  width: video.videoWidth, height: video.videoHeight, duration: video.duration, pictures});
const look = (now, frame) => {  // 'seeked' may come before the frame is there to be drawn
  const [earliest, at] = times[pictures.length];
  if (frame.mediaTime < earliest - 0.001 || frame.mediaTime > at) {
    video.requestVideoFrameCallback(look); return; }
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0);
  const bytes = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192)
    text += String.fromCharCode.apply(null, bytes.subarray(i, i + 8192));
  pictures.push(btoa(text));
  if (pictures.length == times.length) tell('seen'); else seek();
};
const seek = () => {
  video.requestVideoFrameCallback(look);
  video.currentTime = times[pictures.length][1];
};
video.muted = true;
video.onerror = () => tell('error');
video.onloadeddata = () => {
  video.onloadeddata = null;
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  seek();
};
document.body.replaceChildren(video);
video.src = 'SOURCE';
"""
PLAY = """
const done = arguments[0], video = document.querySelector('video'), seen = [];
const tell = what => done({what, error: video.error && video.error.message,
  duration: video.duration, at: video.currentTime, seen});
video.ontimeupdate = () => seen.push(video.currentTime);
video.onended = () => tell('ended');
video.onerror = () => tell('error');
video.currentTime = 0;
video.playbackRate = 4;
video.play().catch(problem => tell(String(problem)));
"""


@dataclass(frozen=True)
class Seen:
    """What Chromium made of a movie."""

    what: str
    """"seen", or "error"."""
    error: str | None
    width: int
    height: int
    duration_s: float
    pictures: list[NDArray[np.uint8]]
    """RGB, one for each time that was asked for."""


@dataclass(frozen=True)
class Browser:
    """One session of chromedriver, on a page of `root`."""

    url: str
    root: str

    def look(self, name: str, times_s: list[tuple[float, float]]) -> Seen:
        """Open a movie and seek each (earliest, at): a frame shown at `at` that begins at
        `earliest` or after it is waited for."""
        said = self._run(PICTURES.replace("TIMES", json.dumps(times_s)).replace("SOURCE", name))
        shape = (said["height"], said["width"], 4)
        return Seen(said["what"], said["error"], said["width"], said["height"],
                    said["duration"] or 0.0,
                    [np.frombuffer(base64.b64decode(picture), np.uint8).reshape(shape)[..., :3]
                     for picture in said["pictures"]])

    def play(self) -> Any:
        """Play the movie that was looked at to its end, four times as fast."""
        return self._run(PLAY)

    def screenshot(self) -> bytes:
        """The page as it is shown, a PNG."""
        return base64.b64decode(_webdriver(self.url + "/screenshot"))

    def _run(self, script: str) -> Any:
        """The value that an asynchronous script hands to its callback."""
        return _webdriver(self.url + "/execute/async", {"script": script, "args": []})


def why_no_browser() -> str:
    """Why there is none here; "" when there is one."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{', '.join(missing)} not installed (chromium, chromium-driver)" if missing else ""


@contextlib.contextmanager
def browser(folder: Path, profile: Path) -> Iterator[Browser]:
    """Chromium looking at a page in `folder`, whose files it can play; ends it and the server."""
    (folder / "page.html").write_text(PAGE)
    with _served(folder) as root, subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL) as driver:
        try:
            address = f"http://127.0.0.1:{_port(driver)}"
            answer = _webdriver(f"{address}/session", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}"]},
                "timeouts": {"script": 60_000}}}})
            session = f"{address}/session/{answer['sessionId']}"
            _webdriver(f"{session}/url", {"url": f"{root}/page.html"})
            yield Browser(session, root)
            _webdriver(session, method="DELETE")
        finally:
            driver.terminate()


def _webdriver(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"},
                                     method=method)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)["value"]


def _port(driver: subprocess.Popen[str]) -> int:
    """From "ChromeDriver was started successfully on port 40123."."""
    for line in driver.stdout or ():
        if "started successfully" in line:
            return int(line.rstrip(".\n").rpartition(" ")[2])
    raise AssertionError("chromedriver did not start")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        """Chromium seeks only where byte ranges are served."""
        path = Path(self.translate_path(self.path))
        asked = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not asked[0] or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = int(asked[0]), min(int(asked[2] or len(content)), len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Type", MEDIA_TYPES.get(path.suffix, "text/html"))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # it has seen enough
            self.wfile.write(content[first:last + 1])


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="http")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
