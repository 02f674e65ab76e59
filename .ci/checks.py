"""Takes each check of docs/checks.md out of a copy of the code, and sees that every test named for it fails:
python3 .ci/checks.py [WORD], for the rows with that word only."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "checks"
NOTHING = "nothing"


def rows():
    """Of each row: the file, what is taken out, what is put in its place, and the tests."""
    file = None
    for line in (ROOT / "docs" / "checks.md").read_text().splitlines():
        if heading := re.fullmatch(r"## `(.+)`", line):
            file = heading[1]
        elif line.startswith("|") and "→" in line:
            _, taken_out, held_by = [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            old, new = taken_out.split("→")
            in_code = lambda text: re.findall(r"`([^`]+)`", text)
            yield file, in_code(old)[0], (in_code(new) or [""])[0], in_code(held_by)


def target_of(test):
    """What `cargo test` has to build for a test, by the file that has it."""
    for path in sorted((COPY / "tests").rglob("*.rs")) + sorted((COPY / "src").rglob("*.rs")):
        text = path.read_text()
        if f"fn {test}(" in text or f'"{test}",' in text:
            parts = path.relative_to(COPY).parts
            return ["--lib"] if parts[0] == "src" else ["--test", parts[1].removesuffix(".rs")]
    raise SystemExit(f"no test is called {test}")


def copy_of_the_code():
    (COPY / "src").mkdir(parents=True, exist_ok=True)
    for name in ["src", "tests", "docs", "examples", "fuzz/seeds", "fuzz/fuzz_targets"]:
        shutil.rmtree(COPY / name, ignore_errors=True)
        shutil.copytree(ROOT / name, COPY / name)
    for name in ["Cargo.toml", "Cargo.lock", "README.md", "SECURITY.md", "CHANGELOG.md", "clippy.toml"]:
        shutil.copy(ROOT / name, COPY / name)


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    copy_of_the_code()
    unnoticed, count = [], 0
    for file, old, new, tests in rows():
        if word not in f"{file} {old} {tests}":
            continue
        path = COPY / file
        sound = path.read_text()
        if sound.count(old) != 1:
            raise SystemExit(f"{file} has {old!r} {sound.count(old)} times")
        path.write_text(sound.replace(old, new))
        for test in tests:
            command = ["cargo", "test", "--locked", *target_of(test), "--", test]
            try:
                done = subprocess.run(command, cwd=COPY, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
                failed = re.search(rf"^test .*\b{test}\b.*FAILED", done.stdout, re.M) is not None
                why = "" if failed else "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            except subprocess.TimeoutExpired:
                failed, why = True, ""
            count += 1
            print("noticed  " if failed else "UNNOTICED", f"{file}: {old}  ({test})", flush=True)
            if not failed:
                unnoticed.append(old)
                print(why, flush=True)
        path.write_text(sound)
    print(f"{count} tried, {len(unnoticed)} unnoticed")
    sys.exit(1 if unnoticed or count == 0 else 0)


main()
