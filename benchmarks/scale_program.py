"""What one device does in a compiled program: multiplications and bytes received, from its text.

Loops count as often as the compiler knows them to run, and of the branches of a conditional the one
of fewer multiplications: the other, which starts anew where halving failed, is told apart.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

BYTES = {"f64": 8, "f32": 4, "s64": 8, "u64": 8, "s32": 4, "u32": 4, "pred": 1}

INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
FACTOR = {"all-gather": 1, "all-reduce": 2, "reduce-scatter": 1, "all-to-all": 1}
"""Times (g - 1)/g of the bytes are received by each of g devices, on a ring."""


class Work(NamedTuple):
    """Floating-point operations of products, and bytes received, of one device."""

    flops: float = 0.0
    received: float = 0.0

    def plus(self, other: Work, times: int = 1) -> Work:
        """With the other, so many times."""
        return Work(self.flops + times * other.flops, self.received + times * other.received)


def _sizes(shape: str) -> list[tuple[str, list[int]]]:
    return [(kind, [int(k) for k in d.split(",") if k]) for kind, d in SHAPE.findall(shape)]


def _dot(shape: str, rest: str, shapes: dict[str, str]) -> Work:
    left = shapes[rest.split("%")[1].split(",")[0].split(")")[0]]
    sides = _sizes(left)[0][1]
    summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest)
    inner = math.prod(sides[int(k)] for k in summed[1].split(",") if k) if summed else 1
    return Work(2.0 * math.prod(_sizes(shape)[0][1]) * inner)


def _collective(name: str, shape: str, rest: str) -> Work:
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", rest)
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", rest)
    g = len(listed[1].split(",")) if listed else int(counted[1]) if counted else 1
    size = sum(BYTES[kind] * math.prod(d) for kind, d in _sizes(shape))
    return Work(0.0, FACTOR[name] * size * (g - 1) / g)


class Program:
    """The computations of a compiled text, each with its instructions."""

    def __init__(self, text: str):
        self.lines: dict[str, list[re.Match[str]]] = {}
        self.entry, current = "", ""
        for line in text.splitlines():
            head = re.match(r"(ENTRY )?%([\w.-]+) \(.*\{$", line)
            if head:
                current = head[2]
                self.lines[current] = []
                self.entry = current if head[1] else self.entry
            elif current and (found := INSTRUCTION.match(line)):
                self.lines[current].append(found)
        self.known: dict[str, Work] = {}

    def work(self, name: str = "") -> Work:
        """What a computation does, by default the whole."""
        name = name or self.entry
        if name not in self.known:
            shapes = {line[1]: line[2] for line in self.lines[name]}
            total = Work()
            for line in self.lines[name]:
                total = total.plus(self._of(line, shapes))
            self.known[name] = total
        return self.known[name]

    def branches(self) -> list[Work]:
        """What the branches of the only conditional do."""
        lines = [line for found in self.lines.values() for line in found]
        (last,) = {line[0] for line in lines if line[3] == "conditional"}
        return [self.work(name) for name in _named(last, "branch_computations")]

    def _of(self, line: re.Match[str], shapes: dict[str, str]) -> Work:
        shape, name, rest = line[2], line[3], line[4]
        if name == "dot":
            return _dot(shape, rest, shapes)
        if name in FACTOR:
            return _collective(name, shape, rest)
        if name == "while":
            times = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
            (body,) = _named(rest, "body")
            return Work().plus(self.work(body), int(times[1]) if times else 1)
        if name == "conditional":
            return min(self.work(branch) for branch in _named(rest, "branch_computations"))
        called = {"fusion": "calls", "call": "to_apply"}.get(name)
        total = Work()
        for computation in _named(rest, called) if called else []:
            total = total.plus(self.work(computation))
        return total


def _named(rest: str, what: str) -> list[str]:
    found = re.search(what + r"=\{?((?:%[\w.-]+(?:, )?)+)", rest)
    return re.findall(r"%([\w.-]+)", found[1]) if found else []
