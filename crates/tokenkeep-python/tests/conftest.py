"""What several tests need."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeAlias

import pytest
from fake import Fake

import tokenkeep
from tokenkeep import (
    Claim,
    External,
    KdfParams,
    Keystore,
    MemoryStore,
    Need,
    Keychain,
    Passphrase,
    RecoveryKey,
    SealedStore,
    SqlStore,
    Token,
    TokenStore,
)

HERE = Path(__file__).parent
#: Tests of the SDK are for environments that have one.
collect_ignore = [] if importlib.util.find_spec("zohocrmsdk") else [path.name for path in HERE.glob("test_zoho*.py")]


ADA = Token(user_name="ada", client_id="c")

Unlock: TypeAlias = Passphrase | Keychain | RecoveryKey | External

#: The kinds of stores that several processes can open. A database server is one of them if the environment names it.
SERVERS = {"mysql": "MYSQL_URL", "postgres": "POSTGRES_URL"}
SEALED = ["file"] + [name for name in SqlStore.DATABASES if os.environ.get(SERVERS.get(name, "PATH"))]


def pytest_configure() -> None:
    # In a program that a shell starts with `&`, Ctrl-C is ignored, and Python raises no KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"tokenkeep of {Path(tokenkeep.__file__).parent}, Python {sys.version.split()[0]}"


def passphrase(text: str = "correct horse battery staple") -> Passphrase:
    return Passphrase(text, kdf=KdfParams.MIN)


@dataclass(frozen=True)
class Place:
    """Where a store is that several processes can open: a file or a database. Each path means another store."""

    kind: str
    path: Path | str

    def create(self, unlock: Unlock | None = None, **options: Any) -> SealedStore:
        return self._call("create", unlock, options)

    def open(self, unlock: Unlock | Sequence[Unlock] | None = None, **options: Any) -> SealedStore:
        return self._call("open", unlock, options)

    def open_or_create(self, unlock: Unlock | None = None, **options: Any) -> SealedStore:
        return self._call("open_or_create", unlock, options)

    def _call(self, name: str, unlock: object, options: dict[str, Any]) -> SealedStore:
        unlock = passphrase() if unlock is None else unlock
        kind, place = (Keystore, str(self.path)) if self.kind == "file" else (SqlStore, f"sqlite://{self.path}")
        if self.kind in SERVERS:
            place = os.environ[SERVERS[self.kind]]
            options["tables"] = f"t{zlib.crc32(str(self.path).encode()):08x}"
        opened: SealedStore = getattr(kind, name)(place, unlock, **options)
        return opened


def claimed(store: TokenStore, need: Need | None = None) -> Claim:
    """The claim on Ada's token."""
    claim = store.begin_refresh(ADA, need)
    assert isinstance(claim, Claim)
    return claim


def until(condition: Callable[[], object]) -> None:
    """Waits until it holds."""
    deadline = monotonic() + 60
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.keep"


@pytest.fixture
def keystore(path: Path) -> Iterator[Keystore]:
    with Keystore.create(path, passphrase()) as store:
        yield store


@pytest.fixture(params=SEALED)
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """A place of each kind, where no store is yet."""
    return Place(request.param, path)


@pytest.fixture
def sealed(place: Place) -> Iterator[SealedStore]:
    """A new store at a place of each kind."""
    with place.create() as store:
        yield store


@pytest.fixture(params=["memory", *SEALED, *(f"namespace of {kind}" for kind in SEALED)])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[TokenStore]:
    """A new store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
        return
    with Place(request.param.split()[-1], path).create() as store:
        yield store.namespace("google") if request.param.startswith("namespace") else store


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as fake:
        yield fake


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python program, given as text, with arguments. Its standard streams are pipes."""

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", program, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)

    return start
