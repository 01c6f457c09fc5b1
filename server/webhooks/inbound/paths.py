"""The paths of inbound endpoints: `shop/{shop}/orders`, with parameters that are whole segments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 200
MOST_SEGMENTS = 20
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_PARAM = re.compile(r"\{([a-z][a-z0-9_]*)\}")
ANY = "{}"


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path as segments. `shape` has `{}` for each parameter: two templates of one shape would take the same requests."""

    text: str
    shape: tuple[str, ...]
    params: tuple[str, ...]

    def params_of(self, segments: list[str]) -> Mapping[str, str]:
        """Return the parameters of a path that has the shape."""
        values = [each for each, known in zip(segments, self.shape, strict=True) if known == ANY]
        return dict(zip(self.params, values, strict=True))


@lru_cache(4096)
def read_path(text: str) -> PathTemplate:
    """Read a path as a definition writes it: no slash in front or behind.

    Raises:
        ValueError: what is wrong with it, as the rest of a sentence that begins with "the path".

    """
    if not 0 < len(text) <= LONGEST:
        raise ValueError(f"has 1 to {LONGEST} characters")
    if text.startswith("/") or text.endswith("/"):
        raise ValueError("begins and ends without a slash")
    shape, params = [], []
    for segment in text.split("/"):
        param = _PARAM.fullmatch(segment)
        if param is not None:
            params.append(param[1])
            shape.append(ANY)
        elif segment in (".", "..") or not _SEGMENT.fullmatch(segment):
            raise ValueError(
                f"has segments of letters, digits and . _ ~ -, or a parameter like {{name}}; {segment[:50]!r} is neither"
            )
        else:
            shape.append(segment)
    if len(shape) > MOST_SEGMENTS:
        raise ValueError(f"has {MOST_SEGMENTS} segments at most")
    if len(set(params)) != len(params):
        raise ValueError("names a parameter twice")
    return PathTemplate(text, tuple(shape), tuple(params))
