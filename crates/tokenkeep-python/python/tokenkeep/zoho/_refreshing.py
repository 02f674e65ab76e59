"""One request for all threads and processes, although the SDK asks the server by itself between a find and a save.

The object that a find returns, or completes, carries the claim: if the SDK's request fails, the object goes, and the
claim with it. A claim is on a stored token. Before a sign-in there is none, so the claim is on a mark that stands for
it, in a namespace of its own.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from hashlib import sha256
from time import monotonic
from typing import Any

from .._errors import BusyError, NoSuchItemError, TokenkeepError
from .._native import Claim, Fresh, Namespace, Need, SignInAgain, Stale, Token, TokenStore

#: The SDK refreshes a token that expires within 5 seconds. One second more, so that it never does so without a claim.
_MARGIN = 6.0
#: How long one look for another caller's refresh waits, and how long a save under a claim is tried again.
_SLICE = 2.0
#: The attribute of the SDK's objects. Its name has none of the words by which the SDK merges objects.
_ATTRIBUTE = "_tokenkeep_claim"
#: The namespace of the marks.
_SIGN_INS = "tokenkeep.zoho sign-ins"
#: After so many seconds a mark that nobody has removed is of no use any more.
_MARK_LIFETIME = 3600.0


class SignIn:
    """The claim on a sign-in."""

    def __init__(self, marks: TokenStore, mark: str, claim: Claim) -> None:
        self._marks = marks
        self._mark = mark
        self._claim = claim

    def close(self) -> None:
        """The sign-in was saved, or others may try."""
        with suppress(TokenkeepError), self._claim:
            self._marks.delete_token(self._mark)
            self._marks.prune()


class Refreshing:
    """The claims of this process, each on an object that the SDK refreshes."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        #: By token id: the claim, the thread that it was given to, and when.
        self._given: dict[str, tuple[weakref.ref[Claim], int, float]] = {}
        self._lock = threading.Lock()

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
            self._note(row.id, begun)
            return token

    def sign_in(self, store: TokenStore, query: Token, holder: Any) -> Token | None:
        """The token that another caller has got meanwhile. If there is none, `holder` has the claim on the sign-in,
        unless the store gives no claims now, or another caller had it for too long."""
        try:
            return self._sign_in(store, query, holder)
        except TokenkeepError as error:
            if error.kind == "reopen":
                raise
            return None  # if the store is broken, the save of what the SDK gets will tell

    def _sign_in(self, store: TokenStore, query: Token, holder: Any) -> Token | None:
        marks, mark = store.namespace(_SIGN_INS), _mark(store, query)
        self.give_up(mark, by_thread=threading.get_ident())
        deadline = monotonic() + self._wait
        while True:
            left = max(deadline - monotonic(), 0.0)
            try:
                begun = marks.begin_refresh(Token(id=mark), Need.now(timeout=min(_SLICE, left)))
            except NoSuchItemError:
                begun = None
            except BusyError:
                if left <= 0:
                    raise
                self._give_up_overdue(mark)
                continue
            row = store.find_stored(query)
            if isinstance(begun, Claim):
                claim = SignIn(marks, mark, begun)
                if row is None:
                    setattr(holder, _ATTRIBUTE, claim)
                    self._note(mark, begun)
                else:
                    claim.close()
                return row
            if row is not None or left <= 0 or isinstance(begun, Fresh | Stale):
                return row
            if isinstance(begun, SignInAgain):
                marks.delete_token(mark)  # it is older than its lifetime
            # A mark can be claimed, and is pruned after its lifetime.
            marks.save_token(
                Token(id=mark, access_token=mark, refresh_token=mark, expires_in=0, refresh_expires_in=_MARK_LIFETIME)
            )

    def take(self, holder: Any) -> Claim | SignIn | None:
        """The claim of an object that is about to be saved."""
        claim = getattr(holder, _ATTRIBUTE, None)
        if not isinstance(claim, Claim | SignIn):
            return None
        delattr(holder, _ATTRIBUTE)
        return claim

    def give_up(self, token_id: str, *, by_thread: int | None = None) -> None:
        """Ends the claim on a token whose refresh was not saved. With a thread, only if that thread has the claim."""
        given, thread, _ = self._given.get(token_id, (None, 0, 0.0))
        claim = None if given is None else given()
        if claim is not None and by_thread in (None, thread):
            claim.close()

    def _note(self, token_id: str, claim: Claim) -> None:
        """Notes that this thread has got the claim, and drops the entries of claims that are gone."""
        with self._lock:
            live = {other: given for other, given in self._given.items() if given[0]() is not None}
            self._given = live | {token_id: (weakref.ref(claim), threading.get_ident(), monotonic())}

    def _give_up_overdue(self, token_id: str) -> None:
        """The SDK's request has no time-out, and an object may live on after its request has failed."""
        given = self._given.get(token_id)
        if given is not None and monotonic() - given[2] >= self._wait:
            self.give_up(token_id)


def is_sign_in(query: Token) -> bool:
    """Whether the SDK will ask the server if there is no such token."""
    can_ask = query.grant_token is not None or query.refresh_token is not None
    return query.id is None and query.access_token is None and can_ask


def _mark(store: TokenStore, query: Token) -> str:
    """The id of the mark: one for all callers that would send the same grant or refresh token for the same user."""
    namespace = store.name if isinstance(store, Namespace) else ""
    parts = (namespace, query.user_name, query.client_id, query.grant_token, query.refresh_token)
    return sha256(repr(parts).encode()).hexdigest()


def _is_due(row: Token) -> bool:
    """Whether the SDK will refresh the token."""
    if row.refresh_token is None:
        return False
    left = row.remaining()
    return row.access_token is None or (left is not None and left < _MARGIN)
