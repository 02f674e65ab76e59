"""One refresh for all threads and processes, although the SDK refreshes by itself between a find and a save.

The object that a find returns carries the claim: if the SDK's request fails, the object goes, and the claim with it.
"""

from __future__ import annotations

import threading
import weakref
from time import monotonic
from typing import Any

from .._errors import BusyError
from .._native import Claim, Need, Token, TokenStore

#: The SDK refreshes a token that expires within 5 seconds. One second more, so that it never does so without a claim.
_MARGIN = 6.0
#: How long one look for another caller's refresh waits, and how long a save under a claim is tried again.
_SLICE = 2.0
#: The attribute of the SDK's objects. Its name has none of the words by which the SDK merges objects.
_ATTRIBUTE = "_tokenkeep_claim"


class Refreshing:
    """The claims of this process, each on an object that the SDK refreshes."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        #: By token id: the claim, the thread that it was given to, and when.
        self._given: dict[str, tuple[weakref.ref[Claim], int, float]] = {}

    def settle(self, store: TokenStore, row: Token, holder: Any) -> Token:
        """The token to go on with. If the SDK will refresh it now, `holder` has the claim afterwards."""
        if row.id is None or not _is_due(row):
            return row
        self.give_up(row.id, by_thread=threading.get_ident())
        deadline = monotonic() + self._wait
        query = Token(id=row.id)
        while True:
            left = max(deadline - monotonic(), 0.0)
            try:
                begun = store.begin_refresh(query, Need.rejected(row, timeout=min(_SLICE, left)))
            except BusyError as error:
                if error.until is not None or left <= 0:
                    raise
                self._give_up_overdue(row.id)
                continue
            if not isinstance(begun, Claim):
                return begun.token
            token = begun.token()
            setattr(holder, _ATTRIBUTE, begun)
            self._given[row.id] = (weakref.ref(begun), threading.get_ident(), monotonic())
            return token

    def take(self, holder: Any) -> Claim | None:
        """The claim of an object that is about to be saved."""
        claim = getattr(holder, _ATTRIBUTE, None)
        if not isinstance(claim, Claim):
            return None
        delattr(holder, _ATTRIBUTE)
        return claim

    def give_up(self, token_id: str, *, by_thread: int | None = None) -> None:
        """Ends the claim on a token whose refresh was not saved, if that thread has it; without a thread in any case."""
        given, thread, _ = self._given.get(token_id, (None, 0, 0.0))
        claim = None if given is None else given()
        if claim is not None and by_thread in (None, thread):
            claim.close()

    def _give_up_overdue(self, token_id: str) -> None:
        """The SDK's request has no time-out, and an object may live on after its request has failed."""
        given = self._given.get(token_id)
        if given is not None and monotonic() - given[2] >= self._wait:
            self.give_up(token_id)


def _is_due(row: Token) -> bool:
    """Whether the SDK will refresh the token."""
    if row.refresh_token is None:
        return False
    left = row.remaining()
    return row.access_token is None or (left is not None and left < _MARGIN)
