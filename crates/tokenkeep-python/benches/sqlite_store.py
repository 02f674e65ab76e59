"""A well-made token store of the SDK over sqlite3: WAL, synchronous=FULL, an index, a connection for each thread."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

_FIELDS = "client_id client_secret refresh_token access_token grant_token expires_in redirect_url api_domain".split()


class SqliteStore(TokenStore):  # type: ignore[misc]
    """In plain text, and only as far as the bench needs it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        columns = ", ".join(f"{name} text" for name in ("user_name", *_FIELDS))
        self._db.execute(f"create table if not exists token (id integer primary key autoincrement, {columns})")
        self._db.execute("create unique index if not exists by_user on token (user_name, client_id)")

    @property
    def _db(self) -> sqlite3.Connection:
        if not hasattr(self._local, "db"):
            self._local.db = sqlite3.connect(self._path, isolation_level=None, timeout=10)
            self._local.db.execute("pragma journal_mode = wal")
            self._local.db.execute("pragma synchronous = full")
        found: sqlite3.Connection = self._local.db
        return found

    def _complete(self, token: Any, row: Any) -> Any:
        if token.get_id() is None:
            token.set_id(str(row[0]))
        if token.get_user_signature() is None and row[1]:
            token.set_user_signature(UserSignature(row[1]))
        for name, value in zip(_FIELDS, row[2:]):
            if getattr(token, f"get_{name}")() is None:
                getattr(token, f"set_{name}")(value)
        return token

    def find_token(self, token: Any) -> Any:
        user = token.get_user_signature().get_name()
        row = self._db.execute("select * from token where user_name = ?", (user,)).fetchone()
        return None if row is None else self._complete(token, row)

    def find_token_by_id(self, id: str) -> Any:
        row = self._db.execute("select * from token where id = ?", (id,)).fetchone()
        if row is None:
            raise SDKException("TOKEN_STORE", "no such token")
        token = OAuthToken(id="")
        token.set_id(None)
        return self._complete(token, row)

    def save_token(self, token: Any) -> None:
        user = token.get_user_signature().get_name()
        values = [getattr(token, f"get_{name}")() for name in _FIELDS]
        keep = ", ".join(f"{name} = coalesce(excluded.{name}, {name})" for name in _FIELDS)
        names = ", ".join(("user_name", *_FIELDS))
        marks = ", ".join("?" for _ in range(len(_FIELDS) + 1))
        upsert = f"on conflict (user_name, client_id) do update set {keep} returning *"
        row = self._db.execute(f"insert into token ({names}) values ({marks}) {upsert}", (user, *values)).fetchone()
        self._complete(token, row)

    def delete_token(self, id: str) -> None:
        self._db.execute("delete from token where id = ?", (id,))

    def get_tokens(self) -> list[Any]:
        return []

    def delete_tokens(self) -> None:
        self._db.execute("delete from token")
