"""tokenkeep beside the stores of the SDK and a sqlite3 store, in one run: prints the tables of docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlite_store import SqliteStore
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store import DBStore, FileStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from tokenkeep import KdfParams, Keystore, Need, Passphrase, RecoveryKey, SqlStore, Token
from tokenkeep.zoho import TokenkeepStore

ROUNDS = 9


def token_of(number: int, access: str) -> Any:
    made = OAuthToken(
        client_id="1000.CLIENT0123456789ABCDEFGHIJ",
        client_secret="0123456789abcdef0123456789abcdef0123456789",
        refresh_token=f"1000.refresh.{number:032}.0123456789abcdef0123456789abcdef",
        access_token=f"1000.access.{access:>32}.0123456789abcdef0123456789abcdef",
        redirect_url="https://app.example.com/callback",
        api_domain="https://www.zohoapis.com",
        user_signature=UserSignature(f"user-{number}@example.com"),
    )
    made.set_expires_in("1999999999999")
    return made


def row_of(number: int) -> Token:
    made = token_of(number, "first")
    return Token(
        id=str(number + 1),
        user_name=f"user-{number}@example.com",
        client_id=made.get_client_id(),
        client_secret=made.get_client_secret(),
        refresh_token=made.get_refresh_token(),
        access_token=made.get_access_token(),
        redirect_url=made.get_redirect_url(),
        api_domain=made.get_api_domain(),
        expires_in=1e8,
    )


def seconds(call: Callable[[], object], times: int) -> float:
    started = perf_counter()
    for _ in range(times):
        call()
    return (perf_counter() - started) / times


class Table:
    """Contenders that are asked in turn, and the medians of what they took."""

    def __init__(self) -> None:
        self.contenders: dict[str, tuple[Callable[[], object], int]] = {}

    def add(self, name: str, call: Callable[[], object], times: int) -> None:
        self.contenders[name] = (call, times)

    def run(self) -> dict[str, float]:
        runs: dict[str, list[float]] = {name: [] for name in self.contenders}
        for turn in range(ROUNDS):
            names = list(self.contenders)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                call, times = self.contenders[name]
                runs[name].append(seconds(call, times))
        return {name: statistics.median(found) for name, found in runs.items()}


def shown(took: float | None) -> str:
    if took is None:
        return "–"
    micros = took * 1e6
    return f"{micros:.1f} µs" if micros < 100 else f"{micros:,.0f} µs"


def mysql_store(socket_port: str | None, size: int) -> Any:
    if not socket_port:
        return None
    import mysql.connector

    with mysql.connector.connect(host="127.0.0.1", port=int(socket_port), user="bench", password="bench") as db:
        cursor = db.cursor()
        cursor.execute("create database if not exists zoho")
        cursor.execute("drop table if exists zoho.oauthtoken")
        columns = "user_name client_id client_secret refresh_token access_token grant_token expiry_time redirect_url"
        texts = ", ".join(f"{name} varchar(255)" for name in (*columns.split(), "api_domain"))
        cursor.execute(f"create table zoho.oauthtoken (id varchar(10) primary key, {texts}, index (user_name))")
        marks = ", ".join(["%s"] * 10)
        rows = []
        for number in range(size):
            row = row_of(number)
            tokens = (row.client_secret, row.refresh_token, row.access_token, None, "1999999999999")
            rows.append((row.id, row.user_name, row.client_id, *tokens, row.redirect_url, row.api_domain))
        cursor.executemany(f"insert into zoho.oauthtoken values ({marks})", rows)
        db.commit()
    port = int(socket_port)
    return DBStore(host="127.0.0.1", database_name="zoho", user_name="bench", password="bench", port_number=port)


def fill(directory: Path, size: int, mysql: str | None) -> dict[str, Any]:
    path = directory / f"{size}.keep"
    keystore = Keystore.create(path, Passphrase("bench", kdf=KdfParams.MIN))
    with keystore.transaction() as transaction:
        for number in range(size):
            transaction.save_token(row_of(number))
    file = FileStore(str(directory / f"{size}.csv"))
    with open(file.file_path, "a", newline="") as rows:
        import csv

        for number in range(size):
            token = token_of(number, "first")
            token.set_id(str(number + 1))
            csv.writer(rows).writerow(FileStore.set_token(token))
    sqlite = SqliteStore(str(directory / f"{size}.db"))
    sqlite._db.execute("begin")
    for number in range(size):
        sqlite.save_token(token_of(number, "first"))
    sqlite._db.execute("commit")
    stores: dict[str, Any] = {"`TokenkeepStore`": TokenkeepStore(keystore)}
    stores["`TokenkeepStore`, SQLite"] = sealed_store(f"sqlite://{directory}/sealed-{size}.db", size)
    stores |= {"sqlite3": sqlite, "the SDK's `FileStore`": file}
    found = mysql_store(mysql, size)
    if found is not None:
        url = f"mysql://bench:bench@127.0.0.1:{mysql}/zoho"
        stores["`TokenkeepStore`, MariaDB"] = sealed_store(url, size)
        stores["the SDK's `DBStore` (MariaDB)"] = found
    stores["keystore"] = keystore
    return stores


def sealed_store(url: str, size: int) -> TokenkeepStore:
    store = SqlStore.create(url, RecoveryKey.generate(), tables=f"sealed_{size}")
    with store.transaction() as transaction:
        for number in range(size):
            transaction.save_token(row_of(number))
    return TokenkeepStore(store)


def add(name: str, store: Any, middle: int, finds: Table, users: Table, saves: Table) -> None:
    """A store of the SDK's kind as a contender."""
    times = 500 if isinstance(store, (TokenkeepStore, SqliteStore)) else 5
    user = UserSignature(f"user-{middle}@example.com")
    turns = iter(range(1_000_000))
    finds.add(name, lambda: store.find_token_by_id(str(middle + 1)), times)
    users.add(name, lambda: store.find_token(OAuthToken(user_signature=user)), times)
    saves.add(name, lambda: store.save_token(token_of(middle, str(next(turns)))), 20)


def compare(directory: Path, mysql: str | None) -> None:
    sizes = (10, 100, 1000)
    lines: dict[tuple[str, str], dict[int, float]] = {}
    for size in sizes:
        stores = fill(directory, size, mysql)
        keystore: Keystore = stores.pop("keystore")
        finds, users, saves = Table(), Table(), Table()
        middle = size // 2
        for name, store in stores.items():
            add(name, store, middle, finds, users, saves)
        query, good, row = Token(user_name=f"user-{middle}@example.com"), Need(), str(middle + 1)
        finds.add("`Keystore.find_token_by_id`", lambda: keystore.find_token_by_id(row), 2000)
        users.add("`Keystore.find_stored`", lambda: keystore.find_stored(query), 2000)
        users.add("`Keystore.begin_refresh`, good", lambda: keystore.begin_refresh(query, good), 2000)
        turns = iter(range(1_000_000))

        def save() -> None:
            keystore.save_token(query.replace(client_id=row_of(0).client_id, access_token=str(next(turns))))

        saves.add("`Keystore.save_token`", save, 20)
        for work, table in (("find by id", finds), ("find by user", users), ("save after a refresh", saves)):
            for name, seconds_taken in table.run().items():
                lines.setdefault((work, name), {})[size] = seconds_taken
    print("| | " + " | ".join(f"{size:,} tokens" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for (work, name), by_size in lines.items():
        print(f"| {work}, {name} | " + " | ".join(shown(by_size.get(size)) for size in sizes) + " |")


def imports() -> None:
    """What the import adds to the bare interpreter."""
    program = "from time import perf_counter as now; a = now(); import tokenkeep; print(now() - a)"
    runs = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(21)]
    print(f"\n`import tokenkeep` takes {statistics.median(runs) * 1000:.1f} ms beyond the bare interpreter.")


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors\n")
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as directory:
        compare(Path(directory), os.environ.get("BENCH_MYSQL_PORT"))
    imports()
