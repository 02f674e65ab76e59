"""Tokens whose save has failed. The SDK does not notice, so they are kept here, and saved at a later call."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic

from .._errors import ConflictError, InvalidError, NoSuchItemError, RefreshError, TokenkeepError
from .._native import MemoryStore, Token, TokenStore

#: How long nothing is tried after a failure, so that a full disk does not slow down every call: a save under a claim is
#: tried for two seconds.
_PAUSE = 10.0


def is_for_good(error: TokenkeepError) -> bool:
    """Whether no later save will succeed: the token is refused, or its row was deleted. An error about a file has a
    path: a file that is missing, too long or replaced by a directory may be mended."""
    cause = error.__cause__ if isinstance(error, RefreshError) else error
    return isinstance(cause, InvalidError | ConflictError | NoSuchItemError) and cause.path is None


@dataclass
class _Item:
    token: Token
    #: The error that has the new token and the claim.
    refresh: RefreshError | None


class Unsaved:
    """The tokens, in the order of their saves; at most one for a row."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._lock = threading.Lock()
        self._next = 0.0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, token: Token, error: TokenkeepError) -> None:
        """Keeps the token, unless no later save can succeed."""
        refresh = error if isinstance(error, RefreshError) and error.token is not None else None
        if is_for_good(error):
            if refresh is not None:
                refresh.close()
            return
        self.forget(token)
        with self._lock:
            self._items.append(_Item(token, refresh))
            self._next = monotonic() + _PAUSE

    def forget(self, query: Token) -> None:
        """Drops the tokens of the row that the query means."""
        with self._lock:
            dropped = [item for item in self._items if _is_meant(item.token, query)]
            self._items = [item for item in self._items if item not in dropped]
        for item in dropped:
            if item.refresh is not None:
                item.refresh.close()

    def find(self, query: Token) -> Token | None:
        """The token that the query means."""
        for item in reversed(self._items):
            if _is_meant(item.token, query):
                return item.token
        return None

    def save(self, store: TokenStore, *, now: bool = False) -> TokenkeepError | None:
        """Tries to save what is there. Returns the error of the last token that was not saved."""
        failed: TokenkeepError | None = None
        if not self._items or (not now and monotonic() < self._next):
            return None
        if not self._lock.acquire(blocking=False):
            return None  # another thread is at it
        try:
            while self._items:
                item = self._items[0]
                try:
                    if item.refresh is not None:
                        item.refresh.retry(store)
                    else:
                        store.save_token(item.token)
                except TokenkeepError as error:
                    if isinstance(error, RefreshError) and error.token is not None:
                        item.refresh = error  # the claim and the token are in the newest error
                    if not is_for_good(error):
                        self._next = monotonic() + _PAUSE
                        return error
                    failed = error
                    if item.refresh is not None:
                        item.refresh.close()
                self._items.pop(0)
            return failed
        finally:
            self._lock.release()


def _is_meant(token: Token, query: Token) -> bool:
    """Whether a store that has the token finds it with the query."""
    if token.id is not None and query.id is not None:
        return token.id == query.id
    scratch = MemoryStore()
    try:
        scratch.save_token(token.without_revision().replace(id=None))
        return scratch.find_stored(query.without_revision().replace(id=None)) is not None
    except TokenkeepError:
        return False
