"""Takes each check of docs/checks.md out of a copy of the code, and sees that every test named for it fails:
python3 .ci/checks.py [WORD], for the rows with that word only. What does not compile is not noticed."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "checks"
# What is left on a stack depends on where the system has put that.
TRIES = 3
PAIR = re.compile(r"`([^`]+)` → (?:`([^`]+)`|nothing)")


def rows():
    """Of each row: the file, what is taken out with what is put in its place, and the tests."""
    file = None
    for line in (ROOT / "docs" / "checks.md").read_text().splitlines():
        if heading := re.fullmatch(r"## `(.+)`", line):
            file = heading[1]
        elif line.startswith("|") and "→" in line:
            _, taken_out, held_by = [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            yield file, PAIR.findall(taken_out), re.findall(r"`([^`]+)`", held_by)


def target_of(test):
    """What `cargo test` has to build for a test, by the file that has it. Some of `tests` are packages of their own."""
    for path in sorted((COPY / "tests").rglob("*.rs")) + sorted((COPY / "src").rglob("*.rs")):
        text = path.read_text()
        if f"fn {test}(" in text or f'"{test}",' in text:
            parts = path.relative_to(COPY).parts
            if parts[0] == "src":
                return ["--package", "tokenkeep", "--lib"]
            target = parts[1].removesuffix(".rs")
            package = f"tokenkeep-{target}-tests" if target in ["external", "keychain"] else "tokenkeep"
            return ["--package", package, "--test", target]
    raise SystemExit(f"no test is called {test}")


def copy_of_the_code():
    COPY.mkdir(parents=True, exist_ok=True)
    for name in ["src", "tests", "docs", "examples", "benches", "fuzz/seeds", "fuzz/fuzz_targets"]:
        shutil.rmtree(COPY / name, ignore_errors=True)
        shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("target"))
    for name in ["Cargo.toml", "Cargo.lock", "README.md", "SECURITY.md", "CHANGELOG.md", "clippy.toml"]:
        shutil.copy(ROOT / name, COPY / name)


def fails(test):
    """Whether it does, and what was said if not. A test that hangs fails."""
    command = ["cargo", "test", "--locked", *target_of(test), "--", test]
    try:
        done = subprocess.run(command, cwd=COPY, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return True, ""
    failed = re.search(rf"^test .*\b{test}\b.*FAILED", done.stdout, re.M) is not None
    return failed, "\n".join((done.stdout + done.stderr).splitlines()[-15:])


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    copy_of_the_code()
    unnoticed = count = 0
    for file, pairs, tests in rows():
        if word not in f"{file} {pairs} {tests}":
            continue
        path = COPY / file
        sound = without = path.read_text()
        for old, new in pairs:
            if without.count(old) != 1:
                raise SystemExit(f"{file} has {old!r} {without.count(old)} times")
            without = without.replace(old, new)
        path.write_text(without)
        for test in tests:
            for _ in range(TRIES):
                failed, said = fails(test)
                if failed:
                    break
            count += 1
            print("noticed  " if failed else "UNNOTICED", f"{file}: {pairs[0][0]}  ({test})", flush=True)
            if not failed:
                unnoticed += 1
                print(said, flush=True)
        path.write_text(sound)
    print(f"{count} tried, {unnoticed} unnoticed")
    sys.exit(1 if unnoticed or count == 0 else 0)


main()
