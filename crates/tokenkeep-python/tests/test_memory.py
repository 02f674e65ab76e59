"""What stays in the memory of the process: a program of its own is searched from outside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canary import canary

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

START = """
import sys
from canary import canary
from tokenkeep import Keystore, KdfParams, Passphrase, RecoveryKey, Token
def stop(word):
    print(word, flush=True)
    sys.stdin.readline()
"""


def copies(process: int, text: bytes) -> int:
    """How often the text is in the memory of a process."""
    found = 0
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            addresses, access = line.split()[:2]
            if "rw" not in access:
                continue
            start, end = (int(address, 16) for address in addresses.split("-"))
            try:
                memory.seek(start)
                found += memory.read(end - start).count(text)
            except (OSError, ValueError, OverflowError):
                continue
    return found


def run(python: Callable[..., Any], program: str, path: Path, seed: int) -> dict[str, int]:
    """The copies at each stop of the program."""
    process = python(START + program, path)
    found = {}
    for word in process.stdout:
        found[word.strip()] = copies(process.pid, bytes(canary(seed)[4:36]))
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.wait() == 0, process.stderr.read()
    return found


def test_the_copy_of_a_passphrase_is_wiped(path: Path, python: Callable[..., Any]) -> None:
    program = """
given = canary(1)
passphrase = Passphrase(given, kdf=KdfParams.MIN)
stop("both")
for at in range(len(given)):
    given[at] = 0
stop("ours")
store = Keystore.create(sys.argv[1], passphrase)
stop("in use")
del passphrase
stop("store")
store.close()
stop("closed")
"""
    found = run(python, program, path, 1)
    assert found == {"both": 2, "ours": 1, "in use": 1, "store": 0, "closed": 0}


def test_a_passphrase_that_is_refused_is_wiped(path: Path, python: Callable[..., Any]) -> None:
    program = """
given = canary(4)
given[39] = 0xFF
try:
    Passphrase(given)
except UnicodeDecodeError as error:
    kept = error
stop("refused")
"""
    assert run(python, program, path, 4) == {"refused": 1}


def test_a_token_is_wiped_once_nobody_has_it(path: Path, python: Callable[..., Any]) -> None:
    program = """
import gc
store = Keystore.create(sys.argv[1], Passphrase("x", kdf=KdfParams.MIN))
text = canary(2)
name = text.decode()
store.save_token(Token(user_name="ada", refresh_token=name))
del name
for at in range(len(text)):
    text[at] = 0
stop("stored")
token = store.find_stored(Token(user_name="ada"))
store.close()
stop("token")
del token
gc.collect()
stop("gone")
"""
    found = run(python, program, path, 2)
    assert found["stored"] >= 1 and found["token"] >= 1
    # The text itself was Python's, which frees it without wiping.
    assert found["gone"] <= 1 and found["gone"] < found["stored"]


def test_the_search_itself_works(path: Path, python: Callable[..., Any]) -> None:
    assert run(python, 'kept = canary(3)\nstop("kept")\n', path, 3) == {"kept": 1}
