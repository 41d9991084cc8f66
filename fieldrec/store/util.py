"""The public names of `imgstore.util`, each where it belongs here; and two classes that only its
users need. Pure; any thread."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from numpy.typing import NDArray

from fieldrec.store import encodings
from fieldrec.store.api.imgstore_errors import WrongArgument
from fieldrec.store.colour import ensure_color, ensure_grayscale
from fieldrec.store.created import local_timezone
from fieldrec.store.extra_data import jsonable
from fieldrec.store.motif import (
    motif_extra_data_h5_attrs,
    motif_extra_data_h5_to_df,
    motif_extra_data_json_to_df,
    motif_get_parse_true_fps,
    motif_get_recording_timezone,
)

__all__ = [
    "FourCC",
    "ImageCodecProcessor",
    "JsonCustomEncoder",
    "ensure_color",
    "ensure_grayscale",
    "get_local_timezone",
    "get_local_timezone_zoneinfo",
    "motif_extra_data_h5_attrs",
    "motif_extra_data_h5_to_df",
    "motif_extra_data_json_to_df",
    "motif_get_parse_true_fps",
    "motif_get_recording_timezone",
]

_PYLON = {"BayerBG": "cv_bayerrg", "BayerRG": "cv_bayerbg", "BayerGB": "cv_bayergr",
          "BayerGR": "cv_bayergb"}
"""OpenCV names a mosaic by other pixels than cameras do."""


def FourCC(c1: str, c2: str, c3: str, c4: str) -> int:
    """OpenCV's number of a codec's four letters."""
    import cv2

    return int(cv2.VideoWriter.fourcc(c1, c2, c3, c4))


def get_local_timezone() -> str:
    """IANA name of this machine's time zone."""
    return local_timezone()


def get_local_timezone_zoneinfo() -> ZoneInfo:
    """This machine's time zone."""
    return ZoneInfo(local_timezone())


class JsonCustomEncoder(json.JSONEncoder):
    """For json.dumps: arrays, numpy's numbers, dates, sets, bytes and complex numbers too."""

    def default(self, o: Any) -> Any:
        """The value in plain types."""
        return jsonable(o)


class ImageCodecProcessor:
    """Decodes mosaics and YUV to BGR by the names that stores have for them ("cv_bayerbg")."""

    def __init__(self) -> None:
        self._code: str | None = None
        self.autoconvert: Callable[[NDArray[Any]], NDArray[Any]] = _as_it_is
        """Decodes by the default code; gives the array back as it is without one."""

    @classmethod
    def from_pylon_format(cls, s: str | None) -> ImageCodecProcessor:
        """With the code of pylon's pixel format ("BayerBG", "Bayer_BG", None) as default."""
        name = str(s or "None").replace("_", "")
        if name != "None" and name not in _PYLON:
            raise WrongArgument(f"pylon's pixel format {s!r} is not known")
        found = cls()
        found.set_default_code(_PYLON.get(name))
        return found

    @classmethod
    def from_cv2_enum(cls, e: int) -> ImageCodecProcessor:
        """With the code of OpenCV's number as default."""
        found = cls()
        found.set_default_code(found.cv2_enum_to_code(e))
        return found

    @property
    def encoding(self) -> str:
        """The default code, "" without one."""
        return self._code or ""

    def set_default_code(self, code: str | None) -> None:
        """Decode by this code from now on, or with None not at all. ValueError when unknown."""
        if not code:
            self._code, self.autoconvert = None, _as_it_is
            return
        encodings.check(code)
        self._code = code
        self.autoconvert = self.convert_to_bgr

    def check_code(self, code: str) -> bool:
        """Whether the code is known."""
        return code in encodings.codes()

    def cv2_enum_to_code(self, enum: int) -> str:
        """The code of OpenCV's number; KeyError without one."""
        return {number: code for code, number in encodings.codes().items()}[enum]

    def convert_to_bgr(self, img: NDArray[Any], code: str | None = None,
                       method_enum: int | None = None) -> NDArray[Any]:
        """The array as BGR: by OpenCV's `method_enum`, else `code`, else the default code."""
        if method_enum is not None:
            code = self.cv2_enum_to_code(method_enum)
        code = code or self._code
        if not code:
            raise WrongArgument("give the code to decode by")
        return encodings.decode(img, code)


def _as_it_is(img: NDArray[Any]) -> NDArray[Any]:
    return img
