# SPDX-License-Identifier: BSL-1.0
"""Where the headers can be changed, and how: all the changes are put into one text, each behind
`selectors_mutant(N)`.

This reads C++ as these headers are written, not all of C++: clang-format has put spaces around operators of
two operands, and none before template arguments. What it takes for something else does not compile, and is
dropped then."""

import collections
import dataclasses
import re

TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*"|(?<!\w)'(?:\\.|[^'\\])')
  | (?P<number>\d(?:'?[\w.])*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<sign><=>|<<=|>>=|\.\.\.|->|\+\+|--|&&|\|\||::|<<|>>|[-+*/%&|^<>=!]=|[^\s\w])""",
    re.X | re.M | re.S,
)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
SWAPPED = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}
ASSIGNMENTS = {"=", "|=", "&=", "^=", "+=", "-=", "*=", "/="}
OPENING = {"(": ")", "[": "]", "{": "}"}
DECLARATION = re.compile(
    r"(?:const|auto|unsigned)\b|(?!::|return\b|throw\b|delete\b)[\w:]+(?:<.*?>)?[ &*]+(?:const )?\w+\s*"
    r"(?:=|\{|\(|\[|$)",
    re.S,
)
FUNCTION_ENDS = {")", "}", "noexcept", "const", "override", "final"}
NAME = re.compile(r"(?:::)?[A-Za-z_]\w*(?:(?:::|\.|->)[A-Za-z_]\w*)*")
KEPT_WORDS = {"true", "false", "nothing"}
NOT_A_NAME = {
    "requires",
    "noexcept",
    "explicit",
    "decltype",
    "alignas",
    "sizeof",
    "if",
    "while",
    "for",
    "switch",
}
LEFT_ALONE = {"static_assert", "using", "static", "constexpr", "break", "continue", "goto", "typedef"}

Token = collections.namedtuple("Token", "kind text start end")


@dataclasses.dataclass
class Mutant:
    """One change of one place; `number` is what switches it on."""

    file: str
    line: int
    context: str  # the line that is changed, as it is written
    original: str
    changed: str
    function: str  # whose body it is in, without its class
    number: int = 0
    ordinal: int = 0  # among those of the same shape in the functions of this name

    def shape(self):
        """The change without its names, so that renaming them costs nothing: `_ < _ => _ <= _`."""
        change = f"{self.original} => {self.changed}"
        return NAME.sub(lambda word: word[0] if word[0] in KEPT_WORDS else "_", change)

    def key(self):
        """What it is whatever its number, its line and the names in it."""
        return self.file, self.function, self.shape(), self.ordinal


def number(mutants):
    """Gives each mutant its number, and its ordinal."""
    seen = collections.Counter()
    for count, mutant in enumerate(mutants, 1):
        place = mutant.file, mutant.function, mutant.shape()
        seen[place] += 1
        mutant.number, mutant.ordinal = count, seen[place]


class Header:
    """One header: its text, and the mutants found in it by the range of the text that each changes."""

    def __init__(self, file, text):
        self.file, self.text = file, text
        self.tokens = [
            Token(m.lastgroup, m.group(), m.start(), m.end())
            for m in TOKEN.finditer(text)
            if m.lastgroup != "comment"
        ]
        self.match = self._brackets()
        self.sites = {}  # (start, end): (shape, [Mutant])
        self.function = ""  # the one that is being read
        self._scope(0, len(self.tokens))

    def mutants(self):
        return [mutant for key in sorted(self.sites) for mutant in self.sites[key][1]]

    def render(self, dropped=frozenset()):
        """The text with all mutants in it but those dropped, and where in it each is: [(start, end, mutant)].
        The lines stay what they were."""
        sites = sorted(
            ((start, -end), shape, [m for m in mutants if m.number not in dropped])
            for (start, end), (shape, mutants) in self.sites.items()
        )
        sites = [(start, -end, shape, mutants) for (start, end), shape, mutants in sites if mutants]
        out, spans = [], []

        def put(piece):
            out.append(piece)
            put.length += len(piece)

        def render(start, end, first):
            """Renders a range with the sites in it, from the one of this index; returns that of the next."""
            while first < len(sites) and sites[first][0] < end:
                site_start, site_end, shape, mutants = sites[first]
                put(self.text[start:site_start])
                if shape == "statement":
                    begin = put.length
                    put(f"{{ if (!selectors_mutant({mutants[0].number})) ")
                    spans.append((begin, put.length, mutants[0]))
                else:
                    put("; " if shape == "declared" else "(")
                    for mutant in mutants:
                        begin = put.length
                        put(f"selectors_mutant({mutant.number}) ? ({mutant.changed}) : ")
                        spans.append((begin, put.length, mutant))
                    put("(" if shape == "plain" else "bool(")
                if shape == "declared":
                    put(mutants[0].original)
                first = render(site_start, site_end, first + 1)
                put({"statement": " }", "declared": ")"}.get(shape, "))"))
                start = site_end
            put(self.text[start:end])
            return first

        put.length = 0
        render(0, len(self.text), 0)
        return "".join(out), spans

    # ---- finding -------------------------------------------------------------------------------------------

    def _brackets(self):
        """The index of the closing token of each opening one, those of template arguments among them."""
        match, stack = {}, []
        for i, token in enumerate(self.tokens):
            before = self.tokens[i - 1] if i else None
            if token.text in OPENING:
                stack.append(i)
            elif (
                token.text == "<"
                and before.kind == "word"
                and before.end == token.start
                and before.text != "operator"
            ):
                stack.append(i)
            elif token.text in (">", ">>"):
                for _ in token.text:
                    if stack and self.tokens[stack[-1]].text == "<":
                        match[stack.pop()] = i
            elif token.text in OPENING.values():
                match[stack.pop()] = i
        return match

    def _is(self, i, *texts):
        return i < len(self.tokens) and self.tokens[i].text in texts

    def _plain(self, i, j):
        """The text of tokens i to j in one line, without comments."""
        return " ".join(COMMENT.sub("", self.text[self.tokens[i].start : self.tokens[j - 1].end]).split())

    def _top(self, i, j, *texts):
        """The indices in i to j, outside of all brackets, of these tokens."""
        found = []
        while i < j:
            if self._is(i, *texts):
                found.append(i)
            i = self.match.get(i, i) + 1
        return found

    def _binary(self, i, j, *texts):
        """The same of operators that have an operand on both sides."""
        return [
            k
            for k in self._top(i, j, *texts)
            if self.text[self.tokens[k].start - 1].isspace() and self.text[self.tokens[k].end].isspace()
        ]

    def _parts(self, i, j, at):
        """What is left and right of these tokens."""
        return list(zip([i] + [k + 1 for k in at], at + [j]))

    def _place(self, i, j):
        return self.tokens[i].start, self.tokens[j - 1].end

    def _add(self, i, j, shape, changed, original=None):
        start, end = self._place(i, j)
        line = self.text.count("\n", 0, start) + 1
        context = " ".join(COMMENT.sub("", self.text.splitlines()[line - 1]).split())
        mutant = Mutant(self.file, line, context, original or self._plain(i, j), changed, self.function)
        key = (end, end) if shape == "declared" else (start, end)
        before = self.sites.get(key, (shape, []))
        if any(other.changed == changed for other in before[1]):
            return
        self.sites[key] = ("bool" if "bool" in (shape, before[0]) else shape, before[1] + [mutant])

    # ---- outside of functions ------------------------------------------------------------------------------

    def _scope(self, i, j):
        head = i
        while i < j:
            if self._is(i, "{"):
                kind = self._kind(head, i)
                if kind == "scope":
                    self._scope(i + 1, self.match[i])
                elif kind in ("function", "bool"):
                    outer, self.function = self.function, self._name(head, i)
                    self._block(i + 1, self.match[i], kind == "bool")
                    self.function = outer
                i = self.match[i]
                head = head if kind == "initializer" else i + 1
            elif self._is(i, ";") or self._is(i, ":") and self._is(i - 1, "public", "protected", "private"):
                head = i + 1
            i = self.match.get(i, i) + 1

    def _name(self, head, brace):
        """The name of the function that these tokens declare."""
        for i in range(head + 1, brace):
            before = self.tokens[i - 1]
            if before.text == "operator":
                sign = self.tokens[i].text
                return "operator" + {"(": "()", "[": "[]"}.get(sign, f" {sign}" if sign.isalpha() else sign)
            if self._is(i, "(") and before.kind == "word" and before.text not in NOT_A_NAME:
                return ("~" if self._is(i - 2, "~") else "") + before.text
        return "?"

    def _kind(self, head, brace):
        """What the brace after these tokens opens."""
        while self._is(head, "template"):
            depth = 0
            while head < brace:
                head += 1
                depth += self._is(head, "<") - self._is(head, ">")
                if depth == 0:
                    break
            head += 1
        words = [token.text for token in self.tokens[head:brace]]
        before = words[: words.index("(")] if "(" in words else words
        if "concept" in words or "enum" in before:
            return "other"
        if {"namespace", "class", "struct", "union"} & set(before):
            return "scope"
        if len(before) < len(words) and words[-1] in FUNCTION_ENDS:
            # What is constexpr, answers with a bool and reads no object is asked by the compiler alone.
            if {"constexpr", "bool"} <= set(before) and "const" not in words[len(before) :]:
                return "other"
            return "bool" if "bool" in before else "function"
        return "initializer"

    # ---- statements ----------------------------------------------------------------------------------------

    def _block(self, i, j, is_bool):
        while i < j:
            i = self._statement(i, is_bool)

    def _statement(self, i, is_bool):
        """Reads the statement at i; returns the index after it."""
        word = self.tokens[i].text
        if word == "{":
            self._block(i + 1, self.match[i], is_bool)
            return self.match[i] + 1
        if word == "[" and self._is(i + 1, "["):
            return self._statement(self.match[i] + 1, is_bool)
        if word in ("if", "while", "for", "switch"):
            constant = self._is(i + 1, "constexpr")
            head = i + 1 + constant
            if word == "for":
                self._for(head + 1, self.match[head])
            elif word == "switch":
                self._expression(head + 1, self.match[head])
            elif not constant:
                self._condition(
                    head + 1, self.match[head], self._body(self.match[head] + 1) if word == "if" else "loops"
                )
            end = self._statement(self.match[head] + 1, is_bool)
            return self._statement(end + 1, is_bool) if word == "if" and self._is(end, "else") else end
        if word == "do":
            end = self._statement(i + 1, is_bool)
            self._condition(end + 2, self.match[end + 1], "loops")
            return self.match[end + 1] + 2
        if word == "try":
            return self._statement(i + 1, is_bool)
        if word == "catch":
            return self._statement(self.match[i + 1] + 1, is_bool)
        if word in ("case", "default"):
            return self._top(i, len(self.tokens), ":")[0] + 1
        if word in ("struct", "class", "union"):
            brace = self._top(i, len(self.tokens), "{")[0]
            self._scope(brace + 1, self.match[brace])
            i = self.match[brace] + 1
        end = self._top(i, len(self.tokens), ";")[0]
        if end > i and word not in LEFT_ALONE:
            self._simple(i, end, is_bool)
        return end + 1

    def _simple(self, i, end, is_bool):
        if self._is(i, "return"):
            if is_bool and end > i + 1:
                self._negate(i + 1, end)
            self._expression(i + 1, end)
        elif DECLARATION.match(self._plain(i, end)):
            equals = self._top(i, end, "=")
            if equals and equals[0] + 2 < end:
                self._expression(equals[0] + 1, end)
            elif not equals:
                self._operand(i, end)
        else:
            if not self._is(i, "throw"):
                self._add(i, end + 1, "statement", "nothing")
            self._expression(i, end)

    def _body(self, i):
        """What an if does, where that tells which change of its condition is the hardest to see."""
        while self._is(i, "[") and self._is(i + 1, "["):
            i = self.match[i] + 1
        if self._is(i, "return", "continue", "break", "throw"):
            return "leaves"
        return "" if self._is(i, "{", "if", "for", "while", "do", "switch") else "does"

    def _condition(self, i, j, body):
        semicolons = self._top(i, j, ";")
        if semicolons:
            self._initialization(i, semicolons[0])
            i = semicolons[0] + 1
        equals = self._top(i, j, "=")
        if equals:
            name = self.tokens[equals[0] - 1].text
            self._add(i, j, "declared", "false" if body == "leaves" else f"!{name}", name)
            self._initialization(i, j)
            return
        # An if without its one statement is never true already, and a chain is run without each of its parts.
        either, both = self._binary(i, j, "||"), self._binary(i, j, "&&")
        if body == "does" and (either or not both):
            self._add(i, j, "bool", "true")
        elif not either and (body == "leaves" or both and body != "loops"):
            self._add(i, j, "bool", "false")
        else:
            self._negate(i, j)
        self._expression(i, j)

    def _negate(self, i, j):
        if not self._binary(i, j, "||", "&&"):
            self._add(i, j, "bool", f"!({self._plain(i, j)})")

    def _for(self, i, j):
        """What steps a loop is left alone: changed, it would only never end."""
        parts = self._parts(i, j, self._top(i, j, ";"))
        if len(parts) == 3:
            self._initialization(*parts[0])
            self._expression(*parts[1])

    def _initialization(self, i, j):
        equals = self._top(i, j, "=")
        if equals:
            self._expression(equals[0] + 1, j)

    # ---- expressions, the operator that binds least first --------------------------------------------------

    def _expression(self, i, j):
        if i >= j:
            return
        at = self._top(i, j, ",")
        if at:
            for part in self._parts(i, j, at):
                self._expression(*part)
            return
        at = self._top(i, j, *ASSIGNMENTS)
        if at:
            if self._is(at[0], "|=", "&="):
                self._add(i, j, "plain", f"{self._plain(i, at[0])} = {self._plain(at[0] + 1, j)}")
            self._operand(i, at[0])
            if at[0] + 2 < j:  # no number alone: without the whole statement is harder to see
                self._expression(at[0] + 1, j)
            return
        at = self._top(i, j, "?")
        if at:
            colons = self._top(at[0], j, ":")
            otherwise = colons[len(self._top(at[0] + 1, colons[0], "?"))]
            self._negate(i, at[0])
            for part in (i, at[0]), (at[0] + 1, otherwise), (otherwise + 1, j):
                self._expression(*part)
            return
        for operator, forced in ("||", "false"), ("&&", "true"):
            at = self._binary(i, j, operator)
            if at:
                for part in self._parts(i, j, at):
                    self._add(*part, "bool", forced)
                    self._expression(*part)
                return
        at = self._binary(i, j, "|")
        if at:
            self._add(i, j, "plain", self._plain(i, at[-1]))
            for part in self._parts(i, j, at):
                self._expression(*part)
            return
        for operators in ("==", "!="), ("<", "<=", ">", ">="):
            at = self._binary(i, j, *operators)
            if at:
                (left, right), operator = self._parts(i, j, at[:1]), self.tokens[at[0]].text
                # Equality that is negated or forced already would be no other mutant.
                if operator not in ("==", "!=") or self._place(i, j) not in self.sites:
                    self._add(i, j, "bool", f"{self._plain(*left)} {SWAPPED[operator]} {self._plain(*right)}")
                for part in left, right:
                    if part[1] - part[0] > 1:
                        self._expression(*part)
                return
        self._operand(i, j)

    def _operand(self, i, j):
        """What binds tighter than a comparison: its numbers, and what is in brackets."""
        while i < j:
            token = self.tokens[i]
            if token.kind == "number" and re.fullmatch(r"[\d']+", token.text):
                self._add(i, i + 1, "plain", f"{token.text} + 1")
            elif i in self.match and token.text != "<":
                if token.text == "{" and self._is(i - 1, ")", "]", "noexcept"):
                    self._block(i + 1, self.match[i], False)
                else:
                    self._expression(i + 1, self.match[i])
            i = self.match.get(i, i) + 1
