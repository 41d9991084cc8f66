"""What others make of an export: ffprobe's account of it, and Chromium really playing it."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import PRESETS, Preset, preset
from fieldrec.export.run import run_export
from tests.fakes.export_content import RED_BGR, moving, uneven_times, write_store

SPECS = {"mono": FrameSpec((240, 320), "uint8", "MONO8", 60.0),
         "odd": FrameSpec((241, 321), "uint8", "MONO8", 60.0),
         "bgr": FrameSpec((720, 640, 3), "uint8", "BGR8", 60.0)}
COUNT = 90
PLAY = """
const done = arguments[0], video = document.createElement('video'), seen = [];
const tell = what => done({what, error: video.error && video.error.message,
  width: video.videoWidth, height: video.videoHeight, duration: video.duration,
  at: video.currentTime, seen});
video.muted = true;
video.ontimeupdate = () => seen.push(video.currentTime);
video.onended = () => tell('ended');
video.onerror = () => tell('error');
video.src = '/bees.NAME.mp4';
document.body.append(video);
video.play().catch(problem => tell(String(problem)));
"""
SEEK = """
const done = arguments[0], video = document.querySelector('video');
const canvas = document.createElement('canvas');
canvas.width = canvas.height = 1;
const look = (now, frame) => {  // 'seeked' may come before the frame is there to be drawn
  if (Math.abs(frame.mediaTime - AT) > 0.05) { video.requestVideoFrameCallback(look); return; }
  const pen = canvas.getContext('2d');
  pen.drawImage(video, X, Y, 1, 1, 0, 0, 1, 1);
  done([...pen.getImageData(0, 0, 1, 1).data]);
};
video.requestVideoFrameCallback(look);
video.currentTime = AT;
"""


PROFILES = {"h264": ("h264", "High"), "hevc": ("hevc", "Main"), "vp9": ("vp9", "Profile 0"),
            "av1": ("av1", "Main")}


def exported(folder: Path, spec: FrameSpec, row: Preset) -> Path:
    store = write_store(folder / "bees", moving(COUNT, spec), spec)
    return run_export(store, row, output_folder=folder, stop=threading.Event(),
                      on_progress=lambda *_: None).path


@pytest.mark.skipif(shutil.which("ffprobe") is None,
                    reason="ffprobe is not installed (package ffmpeg)")
@pytest.mark.parametrize("row", [row for row in PRESETS if not row.lossless],
                         ids=lambda row: row.name)
@pytest.mark.parametrize("kind", SPECS)
def test_ffprobe_names_the_codec_and_the_stores_times(tmp_path: Path, kind: str, row: Preset
                                                  ) -> None:
    path = exported(tmp_path, SPECS[kind], row)
    found = json.loads(subprocess.run(
        ["ffprobe", "-v", "warning", "-count_frames", "-show_streams", "-show_frames", "-of",
         "json", str(path)], capture_output=True, check=True, text=True).stdout)
    stream = found["streams"][0]
    assert (stream["codec_name"], stream["profile"]) == PROFILES[row.codec]
    assert int(stream["nb_read_frames"]) == COUNT
    seconds = np.array([float(frame["pts_time"]) for frame in found["frames"]])
    times_ns = uneven_times(COUNT)
    assert np.abs(seconds - (times_ns - times_ns[0]) / 1e9).max() < 0.001


# --- Chromium, spoken to by the W3C WebDriver protocol ------------------------------------------

@dataclass(frozen=True)
class Browser:
    """One session of chromedriver."""

    url: str

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        return webdriver(self.url + path, body)

    def run(self, script: str) -> Any:
        """The value that an asynchronous script hands to its callback."""
        return self.ask("/execute/async", {"script": script, "args": []})


def webdriver(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"},
                                     method=method)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)["value"]


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
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(content[first:last + 1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "page.html").write_text("<!doctype html><title>export</title><body></body>")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="http")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Browser]]:
    """Starts chromedriver and Chromium on demand; ends both."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("Chromium is not installed (packages chromium, chromium-driver)")
    profile = tmp_path_factory.mktemp("chromium")
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)
    sessions: list[str] = []

    def begin() -> Browser:
        root = f"http://127.0.0.1:{_port(driver)}"
        answer = webdriver(f"{root}/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}"]},
            "timeouts": {"script": 60_000}}}})
        sessions.append(f"{root}/session/{answer['sessionId']}")
        return Browser(sessions[0])

    with driver:
        yield begin
        for session in sessions:
            webdriver(session, method="DELETE")
        driver.terminate()


def _port(driver: subprocess.Popen[str]) -> int:
    """From "ChromeDriver was started successfully on port 40123."."""
    for line in driver.stdout or ():
        if "started successfully" in line:
            return int(line.rstrip(".\n").rpartition(" ")[2])
    pytest.fail("chromedriver did not start")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["High", "VP9"])
@pytest.mark.parametrize("kind", SPECS)
def test_chromium_plays_it_to_its_end(tmp_path: Path, served: str, kind: str, name: str,
                                      browser: Callable[[], Browser]) -> None:
    spec = SPECS[kind]
    exported(tmp_path, spec, preset(name))
    session = browser()
    session.ask("/url", {"url": f"{served}/page.html"})
    played = session.run(PLAY.replace("NAME", name.lower()))
    assert (played["what"], played["error"]) == ("ended", None)
    height, width = spec.shape[:2]
    assert (played["width"], played["height"]) == (width + width % 2, height + height % 2)
    times_ns = uneven_times(COUNT)
    length_s = (times_ns[-1] - times_ns[0]) / 1e9 + float(np.median(np.diff(times_ns))) / 1e9
    assert abs(played["duration"] - length_s) < 0.002
    assert played["seen"] == sorted(played["seen"])
    assert played["at"] > length_s - 0.1
    assert_colours(session, spec, times_ns - times_ns[0])


def assert_colours(session: Browser, spec: FrameSpec, since_first_ns: Any) -> None:
    """The disc of frame 45, sought by its time, has the disc's own colour on the screen."""
    at_s = float(since_first_ns[45] + since_first_ns[46]) / 2e9
    x, y = 11 * 45 % spec.shape[1], 7 * 45 % spec.shape[0]
    shown = session.run(SEEK.replace("AT", str(at_s)).replace("X", str(x)).replace("Y", str(y)))
    wanted = RED_BGR[::-1] if len(spec.shape) == 3 else (250, 250, 250)
    assert np.abs(np.array(shown[:3]) - wanted).max() <= 8, shown
