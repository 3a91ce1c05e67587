# SPDX-License-Identifier: BSL-1.0
"""What Doxygen reads of a header: `filter.py EXAMPLES.CPP HEADER`, printed.

The headers' comments are written for readers in an editor. Here they get what only Doxygen wants: a topic
for each header, headings for errors and complexity, code as code, and the example from EXAMPLES.CPP that is
marked `//! [header.function]` or, for the class of the header's name, `//! [header]`. What is private or in
namespace detail is left out, but for the few classes that programs hold without naming them.
"""

import pathlib
import re
import sys

# What programs use of namespace detail, without writing its name.
HELD = {"basic_key", "key_iterator", "ready_range", "basic_timer", "timer_iterator"}
TOPICS = {
    "version": "versions",
    "event": "events",
    "handle": "handles",
    "error": "errors",
    "key": "keys",
    "key_iterator": "keys",
    "selector": "selecting",
    "ready_range": "selecting",
    "wakeup": "wakeups",
    "backends": "backends",
    "concept": "backends",
    "registration": "backends",
    "epoll": "backends",
    "kqueue": "backends",
    "poll_posix": "backends",
    "select_posix": "backends",
    "afd": "backends",
    "afd_backend": "backends",
    "counters": "counting",
    "timer_queue": "timers",
    "mailbox": "mailboxes",
    "signal_set": "signals",
    "child_exit": "children",
    "waitable": "waitables",
    "coroutine": "coroutines",
    "waiter": "coroutines",
    "testing": "scripts",
}
COMMENT = re.compile(r"^( *)///(?!<)(.*)$")
HEADING = re.compile(r"^(Errors|Complexity)(?:, in this order)?: (.*)$")


def markers(examples):
    return set(re.findall(r"//! \[([\w.]+)\]", examples))


def declared_name(lines):
    """What the declaration that begins here declares: a class, or a function."""
    for line in lines[:8]:
        if found := re.match(r" *(?:class|struct|enum class|concept) (?:\[\[\w+\]\] )?(\w+)", line):
            return found[1]
        text = re.sub(r"noexcept\(.*|requires.*|explicit\(.*?\)|template <.*?>$|^ *template.*", "", line)
        if found := re.search(r"\b(operator\W+|~?\w+)\((?!\))|\b(\w+)\(\)", text):
            return found[1] or found[2]
    return None


def plain(text):
    """A line of text without what Doxygen would take for commands and tags, other than in backticks."""
    parts = text.split("`")
    for number in range(0, len(parts), 2):
        parts[number] = re.sub(r"(?<!\\)\\(?=\w)", r"\\\\", parts[number])
        parts[number] = re.sub(r"<(\w[\w/.]*)>", r"\\<\1\\>", parts[number])
    return "`".join(parts)


def rewrite(comment, example):
    """A comment as Doxygen wants it. COMMENT: its text by line, each with the space behind the slashes."""
    found, in_code = [], False
    for number, line in enumerate(comment):
        text = line[1:] if line.startswith(" ") else line
        is_code = text.startswith("  ") and (in_code or number == 0 or not comment[number - 1].strip())
        if is_code and not in_code:
            is_program = re.search(r"[;{]", text + "".join(comment[number + 1 : number + 2]))
            found.append(" @code{.cpp}" if is_program else " @code{.unparsed}")
        if in_code and not is_code:
            found.append(" @endcode")
            in_code = False
        in_code = in_code or is_code
        if not in_code and (heading := HEADING.match(text)):
            order = ", in this order" if ", in this order" in text else ""
            found += [f" @par {heading[1]}{order}", f" {plain(heading[2])}"]
        else:
            found.append(" " + (re.sub("^ {2,4}", "", text) if in_code else plain(text)))
    if in_code:
        found.append(" @endcode")
    if example:
        found += ["", " @par Example", f" @snippet examples.cpp {example}"]
    return found


DEFINED_OUTSIDE = re.compile(
    r"^(?=\S)(?!class|struct|namespace|using|template|#|//).*\w(<[\w, ]+>)?::~?\w+\([^;]*$"
)


def public_part(lines):
    """Without what is private, what is defined outside of its class, and overloads for wrong calls, all of
    which Doxygen would have to understand to leave it out."""
    result, ends = [], ()
    for line in lines:
        if ends and line in ends:
            is_last = line == "}"
            ends = ()
            if is_last:
                result.append("")
                continue
        if not ends:
            if label := re.match(r"^( +)private:$", line):
                ends = (f"{label[1]}public:", f"{label[1][1:]}}};")
            elif line.startswith("  // ---- wrong calls"):
                ends = ("};",)
            elif DEFINED_OUTSIDE.match(line):
                while result and re.match(r"^(template|  requires|///)", result[-1]):
                    result.pop()
                ends = ("}",) if not line.endswith("}") else ()
                if not ends:
                    continue
        result.append("" if ends else line)
    return result


CONDITION = re.compile(
    r"\n +requires\b(?!\()[^\n{;]*(?:(?:&&|\|\|)\n[^\n{;]*)*"
    r"|(\n +requires|(?<=\)) +noexcept|(?<=const) +noexcept)\("
)


def without_conditions(text):
    """Without what templates require, and when they are noexcept: both are said in terms of detail."""
    found, at = [], 0
    for match in CONDITION.finditer(text):
        if match.start() < at:
            continue
        end, depth = match.end(), 1 if match[1] else 0
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        found.append(text[at : match.start()])
        at = end
    return "".join(found) + text[at:]


def hide_detail(lines):
    """Puts what is in namespace detail between cond and endcond, but for the classes in HELD."""
    result, depth, spaces = [], 0, []
    held = None
    for line in lines:
        opened = re.match(r"^namespace ([\w:]+) \{", line)
        if opened:
            spaces.append((depth, "detail" in opened[1]))
        if opened and spaces[-1][1]:
            result += [line, "/// @cond"]
            depth += line.count("{") - line.count("}")
            continue
        in_detail = bool(spaces) and spaces[-1][1]
        if in_detail and depth == spaces[-1][0] + 1:
            name = re.match(r"^(?:class|struct) (?:\[\[\w+\]\] )?(\w+)(?!.*;$)", line)
            if name and name[1] in HELD and held is None:
                # The comment and the template's head stand above it already.
                at = len(result)
                while at and re.match(r"^(///(?! @cond)|template|  requires)", result[at - 1]):
                    at -= 1
                result.insert(at, "/// @endcond")
                held = depth
        before = depth
        depth += line.count("{") - line.count("}")
        if spaces and depth <= spaces[-1][0]:
            if spaces.pop()[1]:
                result.append("/// @endcond")
        result.append(line)
        if held is not None and before > held and depth == held:
            result.append("/// @cond")
            held = None
    return result


def filtered(name, text, marked):
    """The text of a header, NAME without its ending, as Doxygen is to read it."""
    if name in ("waitable", "afd", "afd_backend"):
        text = text.replace("SELECTORS_HAS_WINSOCK", "1")
    lines = public_part(text.splitlines())
    result, at, used = [], 0, set()
    while at < len(lines):
        comment = COMMENT.match(lines[at])
        if not comment:
            result.append(lines[at])
            at += 1
            continue
        indent, block = comment[1], []
        while at < len(lines) and (more := COMMENT.match(lines[at])):
            block.append(more[2])
            at += 1
        function = declared_name(lines[at:])
        example = name if function == name else f"{name}.{function}"
        if example not in marked or example in used or block[0].startswith((" As above", " The same")):
            example = None
        used.add(example)
        result += [f"{indent}///{line}" for line in rewrite(block, example)]
    result = without_conditions("\n".join(result)).splitlines()
    while result and not result[-1].startswith(("}  // namespace", "#endif")):
        result.pop()  # specializations of std's templates
    result = hide_detail(result)
    if name in TOPICS:
        for number, line in enumerate(result):
            if line.startswith("namespace SELECTORS_NAMESPACE"):
                result[number] = f"{line}\n/// @addtogroup {TOPICS[name]}\n/// @{{"
            elif line.startswith("}  // namespace SELECTORS_NAMESPACE"):
                result[number] = f"/// @}}\n{line}"
    return "\n".join(result) + "\n"


def main():
    examples, header = map(pathlib.Path, sys.argv[1:3])
    name = header.stem
    text = header.read_text()
    if header.suffix == ".hpp":
        text = filtered(name, text, markers(examples.read_text()))
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
