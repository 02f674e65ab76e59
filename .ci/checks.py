"""Takes each check below a `Held by` comment out of a copy of the code, and sees that every test named there fails:
python3 .ci/checks.py [WORD], for those with that word in the file's name, the comment or the code only. With --list it
lists the places and the tests. CONTRIBUTING.md explains the comments. What does not compile is not noticed."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "checks"
# What is left on a stack depends on where the system has put that.
TRIES = 3

ACTION = r"(?:without `([^`]+)`|`([^`]+)`(?: instead of `([^`]+)`)?)"
ACTIONS = re.sub(r"\(\[", "(?:[", rf"{ACTION}(?:; {ACTION})*")
SENTENCE = re.compile(rf"(Held by|Together with) (`\w+`(?:, `\w+`)*)(?:: ({ACTIONS}))?\.")
COMMENTS = re.compile(r"(?:^ *//(?![/!]).*\n)+", re.M)
LITERAL = r'b?r(?P<hashes>#*)"[\s\S]*?"(?P=hashes)|b?"(?:\\[\s\S]|[^"\\])*"|b?\'(?:\\[^\']+|[^\'\\])\''
CONDITION = re.compile(r"(?:} else )?(?:if|while) ")


def blank(found):
    """As many spaces as what was found has characters, in as many lines."""
    return re.sub(r"[^\n]", " ", found[0])


class Code:
    """The text of a file, once without comments, and once without literals either: there, brackets are in pairs."""

    def __init__(self, text):
        self.text = text
        # A literal may contain `//`, and a comment a quote.
        either = f"{LITERAL}|(?P<comment>//.*)"
        self.code = re.sub(either, lambda found: blank(found) if found["comment"] else found[0], text)
        self.bare = re.sub(LITERAL, blank, self.code)

    def end(self, start, stop):
        """Where what matches `stop` follows outside of brackets, or the brackets around `start` are closed."""
        depth = 0
        for at in range(start, len(self.bare)):
            character = self.bare[at]
            if depth == 0 and (character in ")]}" or re.compile(stop).match(self.bare, at)):
                return at
            depth += (character in "([{") - (character in ")]}")
            if depth == 0 and character == "}" and not re.compile(r"}\s*([.?;,)]|else|=>|[|&=]{2})").match(self.bare, at):
                return at + 1
        raise ValueError("no end")

    def piece(self, start):
        """What the line at `start` begins, and of it what a value replaces: two ranges."""
        if operator := re.compile(r"&&|\|\|").match(self.bare, start):
            end = self.end(operator.end(), r"&&|\|\||[;,{]")
            return (start, end), (operator.end() + 1, end)
        if call := re.compile(r"\.\w+(::<.*?>)?\(").match(self.bare, start):
            end = self.end(call.end(), r"\)") + 1
            return (start, end), (start, end)
        if condition := CONDITION.match(self.bare, start):
            end = self.end(condition.end(), r"\s*{")
            return (condition.end(), end), (condition.end(), end)
        end = self.end(start, r"[;,]")
        value = start
        if (arrow := self.end(start, r"=>|[;,]")) < end:
            value = arrow + 2
        elif (equals := self.end(start, r"(?<=\s)=\s|[;,]")) < end:
            value = equals + 1
        elif word := re.compile(r"return |\w+: ").match(self.bare, start):
            value = word.end()
        value += len(self.bare[value:]) - len(self.bare[value:].lstrip())
        return (start, end + (self.bare[end] in ";,")), (value, end)


class Mutation:
    """What one sentence of a comment, or a part of it after a semicolon, changes where."""

    def __init__(self, code, start, sentence, action):
        self.is_continued = sentence[1] == "Together with"
        self.tests = re.findall(r"\w+", sentence[2])
        self.said = " ".join([sentence[2], action and action[0] or ""]).strip()
        self.line = code.text.count("\n", 0, start) + 1
        self.shown = code.text[start:].split("\n", 1)[0]
        whole, value = code.piece(start)
        old, new = (action[1] or action[3], action[2] or "") if action else ("", "")
        if old:
            # However it is wrapped.
            words = r"\s*".join(re.escape(word) for word in re.findall(r"\w+|[^\w\s]", old))
            left, right = (r"\b" if re.match(r"\w", end) else "" for end in (old[0], old[-1]))
            places = list(re.compile(left + words + right).finditer(code.code, start, max(whole[1], value[1])))
            if len(places) != 1:
                raise ValueError(f"{old!r} is there {len(places)} times")
            start, end = places[0].span()
            # Only a method's name means its call.
            is_call = re.fullmatch(r"\.\w+", old) and code.bare[end] == "("
            self.range = (start, code.end(end + 1, r"\)") + 1 if is_call else end)
        elif re.match(r"&&|\|\|", new):
            start, end = value
            is_loose = new.startswith("&&") and code.end(start, r"\|\||[;,{]") < end
            new = f"({code.text[start:end]}) {new}" if is_loose else f"{code.text[start:end]} {new}"
            self.range = value
        elif new:
            self.range = value
        else:
            self.range = whole
            new = "false" if CONDITION.match(code.bare, start) else ""
        self.new = new
        if code.text[slice(*self.range)].strip() == new:
            raise ValueError("nothing changes")


def mutations(text):
    """What the comments of a file say: of each mutation the parts, which are applied together."""
    code = Code(text)
    found = []
    for comment in COMMENTS.finditer(text):
        said = " ".join(line.strip().removeprefix("//").strip() for line in comment[0].splitlines())
        sentences = list(SENTENCE.finditer(said))
        line = text.count("\n", 0, comment.start()) + 1
        if len(sentences) != len(re.findall(r"(?:held by|together with) `", said, re.I)):
            raise ValueError(f"line {line}: not understood: {said}")
        start = comment.end()
        while re.compile(r"\s*#\[.*\n").match(text, start):
            start = text.index("\n", start) + 1
        start += len(text[start:]) - len(text[start:].lstrip())
        for sentence in sentences:
            for action in re.finditer(ACTION, sentence[3]) if sentence[3] else [None]:
                try:
                    found.append(Mutation(code, start, sentence, action))
                except ValueError as error:
                    raise ValueError(f"line {line}: {error}") from error
    wholes = [[mutation] for mutation in found if not mutation.is_continued]
    for mutation in found:
        if mutation.is_continued:
            [whole] = [whole for whole in wholes if mutation.tests == whole[0].tests[:1]]
            whole.append(mutation)
    return wholes


def without(text, whole):
    """The text of a file after a mutation."""
    for mutation in sorted(whole, key=lambda mutation: mutation.range, reverse=True):
        start, end = mutation.range
        text = text[:start] + mutation.new + text[end:]
    return text


def all_mutations():
    trees = [ROOT / "src", *(ROOT / "crates").glob("*/src"), ROOT / "examples"]
    for path in sorted(path for tree in trees for path in tree.rglob("*.rs")):
        file = path.relative_to(ROOT)
        if "target" in file.parts:
            continue
        try:
            for whole in mutations(path.read_text()):
                yield file, whole
        except ValueError as error:
            raise SystemExit(f"{file}: {error}") from error


def target_of(test):
    """What `cargo test` has to build for a test, by the file that has it. Some of `tests` are packages of their own."""
    for path in [path for tree in ["tests", "src", "crates"] for path in sorted((COPY / tree).rglob("*.rs"))]:
        text = path.read_text()
        if f"fn {test}(" in text or f'"{test}",' in text:
            parts = path.relative_to(COPY).parts
            if parts[0] == "crates":
                return ["--package", parts[1]]
            if parts[0] == "src":
                return ["--package", "tokenkeep", "--lib"]
            if (COPY / "tests" / parts[1] / "Cargo.toml").exists():
                return ["--package", f"tokenkeep-{parts[1]}-tests"]
            return ["--package", "tokenkeep", "--test", parts[1].removesuffix(".rs")]
    raise SystemExit(f"no test is called {test}")


def copy_of_the_code():
    COPY.mkdir(parents=True, exist_ok=True)
    for name in ["src", "tests", "docs", "examples", "benches", "crates", "fuzz/seeds", "fuzz/fuzz_targets"]:
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
    if sys.argv[1:] == ["--list"]:
        for file, whole in all_mutations():
            print(f"{file}:{whole[0].line}", *whole[0].tests)
        return
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    copy_of_the_code()
    unnoticed = count = 0
    for file, whole in list(all_mutations()):
        first = whole[0]
        if word not in f"{file} {first.said} {first.shown}":
            continue
        path = COPY / file
        sound = path.read_text()
        path.write_text(without(sound, whole))
        for test in first.tests:
            for _ in range(TRIES):
                failed, said = fails(test)
                if failed:
                    break
            count += 1
            print("noticed  " if failed else "UNNOTICED", f"{file}:{first.line}: {first.shown}  ({test})", flush=True)
            if not failed:
                unnoticed += 1
                print(said, flush=True)
        path.write_text(sound)
    print(f"{count} tried, {unnoticed} unnoticed")
    sys.exit(1 if unnoticed or count == 0 else 0)


if __name__ == "__main__":
    main()
