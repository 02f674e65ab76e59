"""Runs the Python programs of README.md, each twice in one directory and once in two processes, without a keychain."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fake import Fake


def run(program: str, directory: str) -> subprocess.Popen[str]:
    """A process without a terminal, which gets the passphrase from its standard input."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBUS", "XDG"))}
    pipe = subprocess.PIPE
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=directory,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    )
    assert started.stdin is not None
    started.stdin.write("correct horse battery staple\n")
    started.stdin.close()
    started.stdin = None
    return started


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def main(readme: str) -> None:
    programs = re.findall(r"```python\n(.*?)```", Path(readme).read_text(), re.S)
    assert len(programs) == 6
    with_sdk, in_database = (at for at, program in enumerate(programs) if "def open_store() -> TokenStore" in program)
    # It is the other program with another function.
    other = programs[in_database] + "\n\n"
    programs[in_database] = re.sub(r"def open_store.*?\n\n\n", lambda _: other, programs[with_sdk], flags=re.S)
    assert "SqlStore.open" in programs[in_database]
    for program in programs:
        with Fake() as fake, tempfile.TemporaryDirectory() as directory:
            # The only change: the local server in place of the vendor's.
            url = fake.url
            local = f"__import__('sdk').DataCenter.Environment({url!r}, {url!r} + '/oauth/v2/token', {url!r})"
            program = program.replace("USDataCenter.PRODUCTION()", local)
            program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + program
            first = finish(run(program, directory))
            finish(run(program, directory))
            for process in [run(program, directory) for _ in range(2)]:
                finish(process)
            print(first.strip(), f"({len(fake.requests)} requests)")
            if "Initializer" in program:
                assert [form["grant_type"] for form in fake.requests] == ["authorization_code"]


if __name__ == "__main__":
    main(sys.argv[1])
