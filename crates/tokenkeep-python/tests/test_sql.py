"""What only a store in a database has. Everything else is in the other tests, which have such a store too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import ADA, SEALED, SERVERS, Place, claimed, passphrase, until
from test_waiting import interrupted

import tokenkeep
from tokenkeep import MemoryStore, SqlStore, Token

KINDS = [kind for kind in SEALED if kind != "file"]
in_database = pytest.mark.skipif(not KINDS, reason="built without a database")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    return Place(request.param, path)


@pytest.mark.parametrize("database", ["sqlite", "mysql", "postgres"])
def test_a_database_that_is_not_built_in_is_refused(database: str, path: Path) -> None:
    if database in SqlStore.DATABASES:
        return
    for call in (SqlStore.create, SqlStore.open, SqlStore.open_or_create):
        with pytest.raises(tokenkeep.InvalidError, match="that this build supports") as error:
            call(f"{database}://ada:hunter2@localhost/x", passphrase())
        assert "hunter2" not in str(error.value)


@in_database
def test_a_store_is_created_once(place: Place) -> None:
    with pytest.raises(tokenkeep.NotFoundError) as missing:
        place.open()
    assert not isinstance(missing.value, LookupError)
    with place.create() as store:
        assert isinstance(store, SqlStore) and repr(store) == f'SqlStore("{store.name}")' and "_tokens" in store.name
        store.save_token(ADA.replace(access_token="a"))
    with pytest.raises(tokenkeep.AlreadyExistsError):
        place.create()
    with pytest.raises(tokenkeep.WrongSecretError):
        place.open(passphrase("wrong"))
    with place.open_or_create() as store:
        assert len(store.get_tokens()) == 1


@in_database
def test_options_of_a_database_store(place: Place) -> None:
    options: dict[str, Any] = {"connections": 2, "timeout": 5, "lease": 1, "holder": "host", "tables": None}
    with place.create(**options) as store:
        store.save_token(ADA.replace(refresh_token="r"))
        with claimed(store) as claim, place.open() as other:
            started = monotonic()
            # Nobody gives it up.
            with claimed(other):
                assert 0.3 < monotonic() - started < 10
            with pytest.raises(tokenkeep.ConflictError):
                claim.token()
    with pytest.raises(TypeError, match="pool"):
        place.open(pool=1)
    with pytest.raises(TypeError):
        place.open(connections="many")


def test_options_of_a_server(path: Path) -> None:
    servers = [kind for kind in KINDS if kind in SERVERS]
    if not set(SERVERS) & set(SqlStore.DATABASES):
        with pytest.raises(TypeError, match="this build has no option"):
            SqlStore.open("postgres://ada@localhost/app", passphrase(), password=bytearray(b"hunter2"))
    for kind in servers:
        url = urlsplit(os.environ[SERVERS[kind]])
        assert url.password is not None
        bare = url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}").geturl()
        options: Any = {"tables": "t_options", "connect_timeout": 20, "statement_timeout": 20, "unencrypted": True}
        with SqlStore.open_or_create(bare, passphrase(), password=bytearray(url.password.encode()), **options) as store:
            assert url.password not in repr(store) and store.get_tokens() == []
        with pytest.raises(tokenkeep.PermissionsError):
            SqlStore.open(bare, passphrase(), password="wrong", **options)
        with pytest.raises(tokenkeep.TokenkeepError):
            SqlStore.open(bare, passphrase(), password=url.password, tables="t_options", certificate_authority=path)


@pytest.mark.skipif("sqlite" not in SqlStore.DATABASES, reason="built without SQLite")
def test_stores_with_other_tables_share_a_database(path: Path) -> None:
    with SqlStore.create(f"sqlite://{path}", passphrase(), tables="one") as one:
        one.save_token(ADA.replace(access_token="a"))
        with SqlStore.create(f"sqlite://{path}", passphrase(), tables="two") as two:
            assert two.get_tokens() == [] and "one_tokens" in one.name
    with pytest.raises(tokenkeep.InvalidError):
        SqlStore.create(f"sqlite://{path}", passphrase(), tables="No Name")


@in_database
def test_a_version_of_another_store_is_an_older_one(place: Place, path: Path) -> None:
    with place.create() as store, tokenkeep.Keystore.create(path.with_name("k"), passphrase()) as keystore:
        for one, other in ((store, keystore), (keystore, store)):
            assert one.wait_for_change(other.version(), 60) == one.version()
    assert "Version" in repr(Place("file", path.with_name("k")).open().version())


@in_database
def test_no_call_keeps_other_threads_from_running(place: Place) -> None:
    """A transaction of one thread is in the way of calls of another one, and ends only if that thread can go on."""
    with place.create(timeout=5) as store, place.open(timeout=5) as other:
        store.save_token(ADA.replace(refresh_token="r", access_token="a", expires_in=0))
        for call in ("token", "renew", "close", "__del__"):
            claim: Any = claimed(other)
            begun = threading.Event()

            def hold() -> None:
                with store.transaction() as transaction:
                    transaction.save_token(Token(user_name="grace", access_token=call))
                    begun.set()
                    sleep(0.3)

            thread = threading.Thread(target=hold)
            thread.start()
            assert begun.wait(10)
            started = monotonic()
            if call == "__del__":
                del claim
            else:
                getattr(claim, call)()
                claim = None
            assert 0.05 < monotonic() - started < 4, call
            thread.join()
            # It was given up, although the store was busy.
            claimed(other).close()


@in_database
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_a_claim_that_the_parent_uses(place: Place, python: Callable[..., Any]) -> None:
    program = """
import os, sys, threading, time, warnings
from conftest import ADA, Place, claimed
from tokenkeep import ConflictError
warnings.simplefilter("ignore", DeprecationWarning)  # threads are running
place = Place(*sys.argv[1:])
store, other = place.create(), place.open()
store.save_token(ADA.replace(refresh_token="r"))
claim = claimed(store)
with other.transaction() as transaction:
    transaction.get_tokens()
    using = threading.Thread(target=claim.token)
    using.start()
    time.sleep(0.3)
    if os.fork() == 0:
        try:
            claim.token()
        except ConflictError:
            os.write(1, b"ended " + repr(claim).encode())
        os._exit(0)
    os.wait()
using.join()
claim.token()
"""
    running = python(program, place.kind, place.path)
    try:
        assert running.communicate(timeout=30) == ("ended Claim(ended)", "")
    finally:
        running.kill()


@in_database
def test_ctrl_c_ends_a_find_that_waits_for_a_connection(place: Place) -> None:
    with place.create(connections=1) as store:
        ended, begun = threading.Event(), threading.Event()

        def hold() -> None:
            with store.transaction() as transaction:
                transaction.get_tokens()
                begun.set()
                ended.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        assert begun.wait(10)
        try:
            for find in (
                lambda: store.find_stored(ADA),
                lambda: store.find_token_by_id("1"),
                store.get_tokens,
                store.version,
                store.slots,
                store.namespaces,
                lambda: store.begin_refresh(ADA, wait=False),
            ):
                assert interrupted(find) < 0.1
        finally:
            ended.set()
            thread.join()


@in_database
def test_import_of_the_sdk_database_into_a_database(place: Place) -> None:
    columns = ["id", "user_name", "client_id", "access_token"]
    with place.create() as store:
        report = tokenkeep.import_zoho_rows(store, columns, [("7", "ada", "c", "a"), ("8", "grace", "c", "b")])
        assert len(report.added) == 2 and len(store.get_tokens()) == 2


@in_database
def test_tokens_are_moved_between_stores_in_a_loop(place: Place) -> None:
    memory = MemoryStore()
    memory.save_token(ADA.replace(access_token="a"))
    with place.create() as store:
        for token in memory.get_tokens():
            store.save_token(token)
        until(lambda: len(store.get_tokens()) == 1)
