"""Which steps each step of a package calls, read from its source: what it declares is not asked."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Place = tuple[str, str]
"""A module, and a name at its top."""


@dataclass(frozen=True)
class PackageSource:
    """The Python files of a package.

    Parameters
    ----------
    folder : the package's.
    """

    folder: Path

    @cached_property
    def steps(self) -> list[Place]:
        """The functions marked with `@step(...)`."""
        return [
            (module, name)
            for module, source in self._modules.items()
            for name, node in source.definitions.items()
            if _is_step(node)
        ]

    def called_by(self, step: Place) -> set[Place]:
        """Other steps that a step calls, itself or through what is no step.

        Notes
        -----
        Whatever a definition names counts as called, a class with all its methods, and places in
        the package that are written out as text ("package.module.name"), too. It is not seen what
        a method does of an object whose class is named nowhere on the way.
        """
        found, seen, open_ends = set(), {step}, [step]
        while open_ends:
            for place in set(self._named_by(open_ends.pop())) - seen:
                seen.add(place)
                if _is_step(self._modules[place[0]].definitions[place[1]]):
                    found.add(place)
                else:
                    open_ends.append(place)
        return found

    @cached_property
    def _modules(self) -> dict[str, _Module]:
        files = {_module_name(file, self.folder): file for file in self.folder.rglob("*.py")}
        return {name: _Module.of(file.read_text("utf-8")) for name, file in files.items()}

    def _named_by(self, place: Place) -> Iterator[Place]:
        module, name = place
        node = self._modules[module].definitions[name]
        marks = [part for mark in _decorators(node) for part in ast.walk(mark)]
        for part in ast.walk(node):
            dotted = "" if part in marks else _dotted(part)
            own = "" if isinstance(part, ast.Constant) else self._resolve(f"{module}.{dotted}")
            if found := own or self._resolve(dotted):
                yield found

    def _resolve(self, dotted: str) -> Place | None:
        """Where the thing is defined that a dotted path begins with or leads to."""
        parts = dotted.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            module, name, rest = ".".join(parts[:cut]), parts[cut], parts[cut + 1 :]
            if module in self._modules:
                if name in self._modules[module].definitions:
                    return module, name
                imported = self._modules[module].imports.get(name)
                return self._resolve(".".join([imported, *rest])) if imported else None
        return None


@dataclass(frozen=True)
class _Module:
    definitions: dict[str, ast.AST]
    imports: dict[str, str]
    """What local names stand for: `package.module`, or `package.module.name`."""

    @classmethod
    def of(cls, text: str) -> _Module:
        tree = ast.parse(text)
        definitions: dict[str, ast.AST] = {}
        imports = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [part.id for target in targets for part in ast.walk(target)
                         if isinstance(part, ast.Name)]  # fmt: skip
                definitions |= dict.fromkeys(names, node)
        for node in ast.walk(tree):  # in functions, too
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, "relative imports are not followed"
                imports |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            elif isinstance(node, ast.Import):
                imports |= {a.asname: a.name for a in node.names if a.asname}
        return cls(definitions, imports)


def _module_name(file: Path, package: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _decorators(node: ast.AST) -> list[ast.expr]:
    return list(getattr(node, "decorator_list", []))


def _is_step(node: ast.AST) -> bool:
    calls = [mark.func for mark in _decorators(node) if isinstance(mark, ast.Call)]
    return any(_dotted(function).split(".")[-1] == "step" for function in calls)


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name, of an attribute of one, or of such a path as text; else empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace(":", ".")
    return ""
