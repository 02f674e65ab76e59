"""`TokenkeepStore`."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import ABCMeta
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, NoReturn, TypeVar

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore as SdkTokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.util.constants import Constants

from .._errors import TokenkeepError
from .._native import Claim, ImportReport, Token, TokenStore, import_zoho_csv, import_zoho_rows
from ._convert import complete, new_object, token_of
from ._refreshing import Refreshing, is_sign_in
from ._unsaved import Unsaved, is_for_good

_LOG = logging.getLogger("tokenkeep.zoho")
_Result = TypeVar("_Result")
#: A store that was opened less than so many seconds ago is not opened again: opening may ask a person for a passphrase,
#: and an error may stay.
_REOPEN_PAUSE = 10.0

#: Every store of this process.
_STORES: weakref.WeakSet[TokenkeepStore] = weakref.WeakSet()

#: The columns of the SDK's own table.
COLUMNS = (
    "id",
    "user_name",
    "client_id",
    "client_secret",
    "refresh_token",
    "access_token",
    "grant_token",
    "expiry_time",
    "redirect_url",
    "api_domain",
)


class TokenkeepStore(SdkTokenStore, metaclass=ABCMeta):  # type: ignore[misc]
    """A token store for the SDK, over a Keystore, an SqlStore, a MemoryStore or a Namespace.

    store: the store, or a function that opens it. A function is called at the first use, in each forked process, and
    when the open store cannot be used any more (ReopenError, for example after `rekey` by another process).

    refresh_wait: for how many seconds a call waits while another thread or process refreshes the same token. After
    that it raises SDKException, and asks the server nothing. A first sign-in waits as long for one with the same grant
    token or refresh token, and then goes on.

    on_save_error: called with the error when a token could not be saved. The SDK itself only logs that. The token is
    kept in memory, and saved at a later call, unless the store refuses it for good. `last_save_error` has the last
    error, until a save succeeds.
    """

    def __init__(
        self,
        store: TokenStore | Callable[[], TokenStore],
        *,
        refresh_wait: float = 30.0,
        on_save_error: Callable[[TokenkeepError], None] | None = None,
    ) -> None:
        self._store = store
        self._refresh_wait = refresh_wait
        self._on_save_error = on_save_error
        self._start()
        _STORES.add(self)

    def _start(self) -> None:
        """In a new object, and in a forked child: what the parent could not save is the parent's to save."""
        self._opening = threading.RLock()
        self._opened: TokenStore | None = None
        self._opened_at = 0.0
        self._refreshing = Refreshing(self._refresh_wait)
        self._unsaved = Unsaved()
        self.last_save_error: TokenkeepError | None = None

    @property
    def store(self) -> TokenStore:
        """The store of this process."""
        if isinstance(self._store, TokenStore):
            return self._store
        with self._opening:  # the function may ask a person for a passphrase: once, and not in each thread
            if self._opened is None:
                self._opened = self._store()
                self._opened_at = monotonic()
            return self._opened

    def _use(self, work: Callable[[TokenStore], _Result]) -> _Result:
        """Runs the work with the store. After a ReopenError, opens the store again and runs the work once more."""
        store = self.store
        try:
            return work(store)
        except TokenkeepError as error:
            if not self._leave(store, error):
                raise
        return work(self.store)

    def _leave(self, store: TokenStore, error: TokenkeepError) -> bool:
        """Drops this store if it has to be opened again. Whether the call may go on with the one opened then."""
        if error.kind != "reopen" or isinstance(self._store, TokenStore):
            return False
        with self._opening:
            if self._opened is store:
                if monotonic() - self._opened_at < _REOPEN_PAUSE:
                    return False
                _LOG.warning("the store will be opened again: %s", error)
                self._opened = None
        return True

    @property
    def unsaved(self) -> int:
        """How many tokens could not be saved yet."""
        return len(self._unsaved)

    def save_unsaved(self) -> bool:
        """Tries at once to save what could not be saved. Call it before the program ends. True if nothing is left."""
        self._save_earlier(self.store, now=True)
        return not self._unsaved

    # The SDK's operations.

    def find_token(self, token: Any) -> Any:
        """Completes the given object from the stored token that it means, and returns it; None if there is none."""
        if not isinstance(token, OAuthToken):
            return token
        try:
            query = token_of(token)
            row = self._use(lambda store: self._find(store, store.find_stored, query, token))
        except TokenkeepError as error:
            _fail(Constants.GET_TOKEN_FILE_ERROR, error)
        if row is None:
            return None
        complete(token, row)
        return token

    def find_token_by_id(self, id: str) -> Any:
        """A new object for the stored token of that id. Raises SDKException if there is none."""
        made = OAuthToken(id="")
        made.set_id(None)
        try:
            row = self._use(lambda store: self._find(store, store.find_token_by_id, id, made)) if id else None
        except TokenkeepError as error:
            _fail(Constants.GET_TOKEN_BY_ID_FILE_ERROR, error)
        if row is None:
            raise SDKException(Constants.TOKEN_STORE, Constants.GET_TOKEN_BY_ID_FILE_ERROR)
        complete(made, row)
        return made

    def save_token(self, token: Any) -> None:
        """Saves the token, and completes the given object."""
        if not isinstance(token, OAuthToken):
            return
        given = token_of(token)
        claim = self._refreshing.take(token)
        store = None
        try:
            store = self.store
            self._save_earlier(store)
            stored = _save(store, given, claim if isinstance(claim, Claim) else None)
        except TokenkeepError as error:
            if store is not None:
                self._leave(store, error)
            self._unsaved.add(given, error)
            self._report(error)
            _fail(Constants.SAVE_TOKEN_FILE_ERROR, error)
        finally:
            if claim is not None:
                claim.close()
        self._unsaved.forget(stored)
        self._saved()
        complete(token, stored)

    def delete_token(self, id: str) -> None:
        """Deletes the token of that id. Raises SDKException if there is none."""
        try:
            self._refreshing.give_up(id or "")
            self._unsaved.forget(Token(id=id or "-"))
            is_deleted = bool(id) and self._use(lambda store: store.sign_out(id))
        except TokenkeepError as error:
            _fail(Constants.DELETE_TOKENS_FILE_ERROR, error)
        if not is_deleted:
            raise SDKException(Constants.TOKEN_STORE, Constants.TOKEN_BY_ID_FILE_ERROR)

    def get_tokens(self) -> list[Any]:
        """All tokens, as new objects."""
        try:
            self._save_earlier(self.store)
            return [new_object(token) for token in self._use(lambda store: store.get_tokens())]
        except TokenkeepError as error:
            _fail(Constants.GET_TOKENS_FILE_ERROR, error)

    def delete_tokens(self) -> None:
        """Deletes all tokens."""
        try:
            self._unsaved = Unsaved()
            self._use(lambda store: store.delete_tokens())
        except TokenkeepError as error:
            _fail(Constants.DELETE_TOKENS_FILE_ERROR, error)

    # What they are made of.

    def _find(
        self, store: TokenStore, find: Callable[[Any], Token | None], query: Token | str, holder: Any
    ) -> Token | None:
        if self._unsaved:
            self._save_earlier(store)
            kept = self._unsaved.find(Token(id=query) if isinstance(query, str) else query)
            if kept is not None:
                return kept
        row = find(query)
        if row is None and isinstance(query, Token) and is_sign_in(query):
            row = self._refreshing.sign_in(store, query, holder)
        return None if row is None else self._refreshing.settle(store, row, holder)

    def _save_earlier(self, store: TokenStore, *, now: bool = False) -> None:
        if not self._unsaved:
            return
        error = self._unsaved.save(store, now=now)
        if error is not None and self._leave(store, error):
            error = self._unsaved.save(self.store, now=True)
        if error is not None:
            self._report(error)
        elif not self._unsaved:
            self._saved()

    def _saved(self) -> None:
        if not self._unsaved:
            self.last_save_error = None

    def _report(self, error: TokenkeepError) -> None:
        self.last_save_error = error
        later = "is not kept" if is_for_good(error) else "will be saved at a later call"
        _LOG.error("a token was not saved, and %s: %s", later, error)
        if self._on_save_error is not None:
            self._on_save_error(error)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("cannot pickle or copy a TokenkeepStore: it is bound to this process")


def _start_in_child() -> None:
    for store in list(_STORES):
        store._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_in_child)


def _save(store: TokenStore, given: Token, claim: Claim | None) -> Token:
    """Saves the token; the answer to a refresh only over the refresh token that was sent."""
    if claim is not None:
        response = Token(
            access_token=given.access_token,
            refresh_token=given.refresh_token,
            expires_at=given.expires_at,
            api_domain=given.api_domain,
        )
        stored = claim.complete(response)
        if stored.access_token != given.access_token or stored.user_name == given.user_name:
            return stored
    saved_id = store.save_token(given)
    return store.find_token_by_id(saved_id) or given.replace(id=saved_id)


def _fail(message: str, error: TokenkeepError) -> NoReturn:
    raise SDKException(code=Constants.TOKEN_STORE, message=message + ": ", cause=error) from error


# Moving in.


#: Saves the tokens of a file of the SDK's FileStore, as one change. Stop the application that writes it first.
import_file = import_zoho_csv


def import_table(
    store: TokenStore,
    rows: Iterable[Sequence[object]],
    columns: Sequence[str] = COLUMNS,
    *,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
) -> ImportReport:
    """Saves the rows of the table of the SDK's DBStore, or of its SQLite sample, as one change.

    rows: a DB-API cursor after `select * from oauthtoken`, or any iterable of its rows. So no driver is needed here.
    columns: the names of the columns in their order, such as `[column[0] for column in cursor.description]`.
    """
    return import_zoho_rows(store, list(columns), rows, skip_bad_rows=skip_bad_rows, overwrite=overwrite)
