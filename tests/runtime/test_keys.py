from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from server.config import Settings
from server.kernel.errors import Invalid
from server.runtime.keys import load_or_make_keys, new_key

if TYPE_CHECKING:
    from pathlib import Path

GOOD = base64.b64encode(b"k" * 32).decode()


def test_a_key_ring_is_made_once_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    first = load_or_make_keys(Settings(home=home))
    assert first.keys
    assert load_or_make_keys(Settings(home=home)) == first
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o600


def test_processes_that_start_together_get_the_same_ring(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        rings = {each.keys for each in pool.map(lambda _: load_or_make_keys(Settings(home=tmp_path)), range(40))}
    assert len(rings) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_a_ring_of_the_settings_is_taken_as_it_is_and_nothing_is_written(tmp_path: Path) -> None:
    ring = f"new:{GOOD},{new_key()}"
    assert load_or_make_keys(Settings(home=tmp_path, keys=ring)).keys == ring
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "ring",
    [
        "rubbish",
        f":{GOOD}",
        f"a b:{GOOD}",
        "short:QUJD",
        "id:not base64 at all!",
        f"a:{GOOD},",
        f"a:{GOOD},a:{GOOD}",
        f"{'x' * 33}:{GOOD}",
        "é:" + GOOD,
    ],
)
def test_a_ring_of_another_form_is_refused_without_showing_it(tmp_path: Path, ring: str) -> None:
    with pytest.raises(Invalid, match=r"key \d of the key ring") as caught:
        load_or_make_keys(Settings(home=tmp_path, keys=ring))
    assert caught.value.code == "BAD_KEYS"
    assert GOOD not in caught.value.message
