# SPDX-License-Identifier: Apache-2.0
#
# The inner loops of an object file, found by structure: basic blocks, dominators, natural loops, of these the
# innermost. Ranges of addresses are no loops: compilers put the rare blocks of one behind the function.

import re
import subprocess
from collections import namedtuple

Instruction = namedtuple("Instruction", "address text target")
Function = namedtuple("Function", "name instructions machine framed")
Loop = namedtuple("Loop", "function instructions")

# Kernels whose loops go over every element of ordinary rows and columns. What is left out is for hostile rows
# (row_sums64 has 32 lanes of doubles in two sums: more than 16 registers hold), or has its elements in an array
# on the stack (write_tiny_rows: at most 16).
KERNELS = ("sum_row_of", "write_row", "write_one_row", "write_short_rows", "write_long_rows", "split_row",
           "column_moments_f32", "affine_tiles", "column_extremes_f32", "channel_moments_f32", "whole_planes",
           "write_plain_row", "sum_added_row", "quantize", "sum_and_write_elements")

X86 = {
    "jump": re.compile(r"^(j[a-z]+|loop[a-z]*)\s"),
    "always": re.compile(r"^(jmp|ret|ud2|hlt)"),
    "arithmetic": re.compile(r"^v(fn?m(add|sub)|add|sub|mul|max|min)[0-9]*ps\s.*%[yz]mm"),
    "vector": re.compile(r"%[xyz]mm\d"),
}
ARM = {
    "jump": re.compile(r"^(b(\.\w+)?|cbn?z|tbn?z)\s"),
    "always": re.compile(r"^(b|br|ret)(\s|$)"),
    "arithmetic": re.compile(r"^(fmla|fmls|fadd|fsub|fmul|fcmgt)\s+v\d+\.4s"),
    "vector": re.compile(r"^ld\w*\s+\{?\s*[qdsv]\d"),
}


def functions(objdump, path):
    text = subprocess.run([objdump, "-dC", "--no-show-raw-insn", path], check=True, capture_output=True,
                          text=True).stdout
    machine = ARM if "aarch64" in text[:200] else X86
    found = []
    for line in text.split("\n"):
        start = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        if start:
            found.append((start.group(1), []))
            continue
        code = re.match(r"^\s*([0-9a-f]+):\t(.*)$", line)
        if not code or not found:
            continue
        words = re.sub(r"\s*(//|#).*$", "", code.group(2)).strip() if machine is X86 else code.group(2).strip()
        words = re.sub(r"\s*//.*$", "", words)
        target = None
        if machine["jump"].match(words):
            place = re.search(r"(?:^|[\s,])([0-9a-f]+) <", words)
            target = int(place.group(1), 16) if place else None
        found[-1][1].append(Instruction(int(code.group(1), 16), words, target))
    return [Function(short(name), code, machine, framed(machine, code)) for name, code in found if code]


def short(name):
    name = re.sub(r"\(anonymous namespace\)::|simdnorm::(\w+::)?", "", name)
    return re.sub(r"^(void|bool) ", "", name)


def framed(machine, code):
    """Whether rbp (x29) is the frame's, and no register like others."""
    wanted = r"^mov\s+%rsp,%rbp" if machine is X86 else r"^(mov|add)\s+x29, sp"
    return any(re.match(wanted, i.text) for i in code)


def inner_loops(function):
    """The innermost natural loops; of each its instructions, in the order of their addresses."""
    code = function.instructions
    index = {i.address: n for n, i in enumerate(code)}
    leaders = {0}
    for n, i in enumerate(code):
        if i.target in index:
            leaders.add(index[i.target])
        if i.target is not None or function.machine["always"].match(i.text):
            leaders.add(n + 1)
    starts = sorted(n for n in leaders if n < len(code))
    block_of = {start: b for b, start in enumerate(starts)}
    ends = starts[1:] + [len(code)]
    successors = []
    for b, end in enumerate(ends):
        last = code[end - 1]
        to = []
        if last.target in index:
            to.append(block_of[index[last.target]])
        if not function.machine["always"].match(last.text) and end < len(code):
            to.append(b + 1)
        successors.append(to)
    predecessors = [[] for _ in starts]
    for b, to in enumerate(successors):
        for s in to:
            predecessors[s].append(b)

    order = []
    seen = set()
    # What only a table of jumps leads to is a root too.
    for root in range(len(starts)):
        if root in seen or (root > 0 and predecessors[root]):
            continue
        stack = [(root, iter(successors[root]))]
        seen.add(root)
        while stack:
            b, rest = stack[-1]
            for s in rest:
                if s not in seen:
                    seen.add(s)
                    stack.append((s, iter(successors[s])))
                    break
            else:
                order.append(b)
                stack.pop()
    order.reverse()
    place = {b: n for n, b in enumerate(order)}
    roots = {b for b in order if not predecessors[b]} | {0}
    top = -1  # dominates all roots
    dominator = {b: top for b in roots}
    place[top] = -1
    changed = True
    while changed:
        changed = False
        for b in order:
            if b in roots:
                continue
            new = None
            for p in predecessors[b]:
                if p not in dominator:
                    continue
                if new is None:
                    new = p
                    continue
                other = p
                while new != other:
                    while place[new] > place[other]:
                        new = dominator[new]
                    while place[other] > place[new]:
                        other = dominator[other]
            if new is not None and dominator.get(b) != new:
                dominator[b] = new
                changed = True

    def dominates(a, b):
        while b != top:
            if a == b:
                return True
            b = dominator[b]
        return False

    bodies = {}
    for b in order:
        for header in successors[b]:
            if b in dominator and header in dominator and dominates(header, b):
                body = bodies.setdefault(header, {header})
                stack = [b]
                while stack:
                    at = stack.pop()
                    if at not in body:
                        body.add(at)
                        stack.extend(predecessors[at])
    for header, body in sorted(bodies.items()):
        if any(other in body for other in bodies if other != header):
            continue
        yield Loop(function, [i for b in sorted(body) for i in code[starts[b]:ends[b]]])


def is_reload(function, text):
    """Whether a vector register, or an operand, comes from a fixed place of the stack: what was spilled comes back.
    An index makes it an array; a store alone is a buffer for others, or costs what one outside of the loop does."""
    if not function.machine["vector"].search(text):
        return False
    if function.machine is X86:  # the last operand is what is written
        base = "%rsp|%rbp" if function.framed else "%rsp"
        return re.search(r"\((" + base + r")\),", text) is not None
    base = "sp|x29" if function.framed else "sp"
    return re.search(r"^ld.*\[(" + base + r")(, #-?(0x)?[0-9a-f]+)?\]", text) is not None


def kernel_of(function):
    for kernel in KERNELS:
        if re.match(kernel + r"\b", function.name):
            return kernel
    return None


def hot_loops(objdump, path):
    """Inner loops of the kernels with three vector operations or more, and no call."""
    for function in functions(objdump, path):
        if kernel_of(function) is None:
            continue
        for loop in inner_loops(function):
            calls = any(re.match(r"^(call|blr?\s)", i.text) for i in loop.instructions)
            if not calls and sum(1 for i in loop.instructions if function.machine["arithmetic"].match(i.text)) >= 3:
                yield loop
