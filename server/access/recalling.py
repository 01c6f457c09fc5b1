"""Who presents a token, for those who may not wait in a thread: the requests of an event loop share each look into the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from server.kernel.errors import CrossdockError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from server.access.authentication import TokenAuthentication
    from server.web.principals import Principal


class Recalling:
    """Knows the tokens that were somebody's lately; on one event loop. A token that it does not know is nobody's word here."""

    def __init__(self, tokens: TokenAuthentication) -> None:
        self._tokens = tokens
        self._looks: dict[str, asyncio.Future[Principal | None]] = {}

    def known(self, credential: str | None) -> Principal | None:
        """Return who presents a token, if that was looked up just now."""
        return self._tokens.known(credential)

    async def again(self, credential: str | None, executor: Executor) -> Principal | None:
        """Look once more, in a thread, for all who ask meanwhile; None for a token that was nobody's, or if one cannot look."""
        if credential is None or not self._tokens.knew(credential):
            return None
        look = self._looks.get(credential)
        if look is None:
            look = asyncio.get_running_loop().run_in_executor(executor, self._tokens, credential)
            self._looks[credential] = look
            look.add_done_callback(lambda _: self._looks.pop(credential))
        try:
            return await asyncio.shield(look)
        except CrossdockError:
            return None
