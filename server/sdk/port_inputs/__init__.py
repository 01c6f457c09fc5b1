"""An input of each operation that two ERPs answer, a file each for what belongs together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.sdk.port_inputs import goods, money, people, procurement, quality, sales

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs

INPUTS: Inputs = {
    name: given for room in (sales, goods, money, procurement, people, quality) for name, given in room.INPUTS.items()
}
