"""What several tests need."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from fake import Fake

import tokenkeep
from tokenkeep import Claim, KdfParams, Keystore, MemoryStore, Need, Passphrase, Token, TokenStore

HERE = Path(__file__).parent
#: Tests of the SDK are for environments that have one.
collect_ignore = [] if importlib.util.find_spec("zohocrmsdk") else [path.name for path in HERE.glob("test_zoho*.py")]


ADA = Token(user_name="ada", client_id="c")


def pytest_report_header() -> str:
    return f"tokenkeep of {Path(tokenkeep.__file__).parent}, Python {sys.version.split()[0]}"


def passphrase(text: str = "correct horse battery staple") -> Passphrase:
    return Passphrase(text, kdf=KdfParams.MIN)


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


@pytest.fixture(params=["file", "memory", "namespace"])
def store(request: pytest.FixtureRequest) -> TokenStore:
    if request.param == "memory":
        return MemoryStore()
    keystore: Keystore = request.getfixturevalue("keystore")
    return keystore if request.param == "file" else keystore.namespace("google")


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
