"""Compares the types in _native.pyi with those of the Rust code, from which maturin generates stubs.

The generator knows neither keyword arguments, nor literals, nor what a Python object is that the Rust code looks at
itself. So what is shipped is written by hand, and may say more there. Everywhere else it has to say the same. (stubtest
compares names and parameters with the module, which has no types.)

    python stubs.py GENERATED WRITTEN
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

#: Annotations by which the generator says that it does not know.
UNKNOWN = {"Any", "Incomplete"}
#: The generator's name for what Rust accepts, and ours.
SAME = {"SupportsIndex": "int", "SupportsGetItem[int, str]": "list[str]", "Sequence": "list"}


class Stubs:
    """The annotations of a stub file."""

    def __init__(self, path: Path) -> None:
        body = ast.parse(path.read_text()).body
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        self.functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        self.aliases = {
            node.target.id: node.value
            for node in body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
        }

    def methods(self, name: str) -> dict[str, ast.FunctionDef]:
        """Those of a class and of its bases that exist in the stubs only."""
        node = self.classes[name]
        found: dict[str, ast.FunctionDef] = {}
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id.startswith("_"):
                found |= self.methods(base.id)
        return found | {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}

    def members(self, annotation: ast.expr, of_class: str) -> set[str]:
        """The members of a union, with aliases and literals resolved."""
        if isinstance(annotation, ast.BinOp):
            return self.members(annotation.left, of_class) | self.members(annotation.right, of_class)
        if isinstance(annotation, ast.Name) and annotation.id in self.aliases:
            return self.members(self.aliases[annotation.id], of_class)
        text = ast.unparse(annotation)
        if text.startswith("Literal["):
            return {"str"}
        if text == "Self":
            return {of_class}
        if isinstance(annotation, ast.Subscript) and text not in SAME:
            head = ast.unparse(annotation.value)
            return {SAME.get(head, head) + text[len(head) :]}
        return {SAME.get(text, text)}


def typed(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr | None]]:
    arguments = function.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.arg not in ("self", "cls"):
            yield argument.arg, argument.annotation
    # Of a constructor it is the class in any case.
    if function.name != "__new__":
        yield "the result", function.returns


def agree(generated: set[str], written: set[str]) -> bool:
    if generated & UNKNOWN:
        return True
    # `dict` is what the generator makes of every dict.
    bare = {name for name in generated if name in ("dict", "list", "tuple")}
    return generated - bare == {name for name in written if name.split("[")[0] not in bare}


def main(generated: Stubs, written: Stubs) -> Iterator[str]:
    """What differs."""
    pairs = [("", generated.functions, written.functions)]
    for name in generated.classes:
        if name not in written.classes:
            yield f"{name}: not written"
            continue
        pairs.append((name, generated.methods(name), written.methods(name)))
    compared = 0
    for of_class, theirs, ours in pairs:
        for name in theirs:
            if name.startswith("__") and name != "__new__":
                continue
            if name not in ours:
                yield f"{of_class}.{name}: not written"
                continue
            types = dict(typed(ours[name]))
            for argument, annotation in typed(theirs[name]):
                if annotation is None:
                    continue
                known = generated.members(annotation, of_class)
                said = types.get(argument)
                if said is None:
                    yield f"{of_class}.{name}: {argument} has no type"
                elif not agree(known, written.members(said, of_class)):
                    yield f"{of_class}.{name}: {argument} is {ast.unparse(annotation)}, not {ast.unparse(said)}"
                compared += not known & UNKNOWN
    print(f"{compared} types of the Rust code compared")
    if compared < 100:
        yield "almost nothing was compared"


if __name__ == "__main__":
    differences = list(main(*(Stubs(Path(path)) for path in sys.argv[1:])))
    print(*differences, sep="\n")
    sys.exit(bool(differences))
