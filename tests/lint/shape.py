#!/usr/bin/python3
"""Sizes of C: functions, nesting, parameters, files; and braces around every controlled statement.
There is no list of exceptions.

    shape.py [ROOT]
"""

import re
import sys

import tree

FUNCTION_LINES = 70  # from the first word of the signature to the closing brace
LEVELS = 3           # blocks inside blocks; the body itself is level 0, `else if` adds none
PARAMETERS = 5       # `...` is not counted
FILE_LINES = 600

CONTROLS = {"if", "for", "while", "switch"}
ATTRIBUTES = {"__attribute__", "__asm__", "asm", "_Alignas", "__typeof__", "typeof"}
PAIRS = {")": "(", "]": "[", "}": "{"}
MACRO_NAME = re.compile(r"[A-Z][A-Z0-9_]*$")


# ---- preprocessor ------------------------------------------------------------------------------

def is_whole(branch):
    """A branch of #if that can stand beside its other branches: balanced, and ends a statement."""
    depth = {"(": 0, "[": 0, "{": 0}
    for token in branch:
        if token.text in depth:
            depth[token.text] += 1
        elif token.text in PAIRS:
            depth[PAIRS[token.text]] -= 1
            if depth[PAIRS[token.text]] < 0:
                return False
    return not any(depth.values()) and (not branch or branch[-1].text in ";},:")


def without_directives(tokens):
    """The tokens a compiler might see. All branches of an #if are kept when each is whole, so that
    none goes unread; else the first one that is not `#if 0`."""
    out, stack = [], []  # stack: (tokens before the #if, branches, conditions)
    for token in tokens:
        if token.kind != "directive":
            out.append(token)
            continue
        word = (re.match(r"#\s*(\w*)", token.text) or [None, ""])[1]
        if word in ("if", "ifdef", "ifndef"):
            stack.append((out, [], [token.text]))
            out = []
        elif word in ("elif", "else") and stack:
            stack[-1][1].append(out)
            stack[-1][2].append(token.text)
            out = []
        elif word == "endif" and stack:
            before, branches, conditions = stack.pop()
            branches.append(out)
            out = before + joined(branches, conditions)
    for before, branches, _ in reversed(stack):  # an #if without end: nothing must be lost
        out = before + sum(branches, []) + out
    return out


def joined(branches, conditions):
    if all(is_whole(branch) for branch in branches):
        return sum(branches, [])
    for branch, condition in zip(branches, conditions):
        if not re.match(r"#\s*if\s+0\b", condition):
            return branch
    return []


# ---- pairs and blocks --------------------------------------------------------------------------

def pair_up(tokens):
    """Index of each bracket's partner, both ways. One that has none is left out."""
    match, stack = {}, []
    for index, token in enumerate(tokens):
        if token.kind != "punct":
            continue
        if token.text in PAIRS.values():
            stack.append(index)
        elif token.text in PAIRS:
            while stack and tokens[stack[-1]].text != PAIRS[token.text]:
                stack.pop()
            if stack:
                match[index] = stack.pop()
                match[match[index]] = index
    return match


def kind_of_brace(tokens, match, index, outer):
    """What the brace at index opens: "block", "do", or "data" (an initialiser, a struct)."""
    if index == 0:
        return "block"
    before = tokens[index - 1]
    if before.text == "(":
        return "block"  # statement expression
    if outer == "data":
        return "data"
    if before.text == ")" and index - 1 in match:
        ahead = tokens[match[index - 1] - 1] if match[index - 1] else None
        named = ahead is not None and ahead.kind == "word"
        return "block" if named and ahead.text not in ATTRIBUTES | {"return"} else "data"
    if before.text == "do":
        return "do"
    return "block" if before.text in ("else", ";", "{", "}", ":") else "data"


def kinds_of_braces(tokens, match):
    """Index of each opening brace -> its kind."""
    kinds, stack = {}, []
    for index, token in enumerate(tokens):
        if token.kind != "punct":
            continue
        if token.text == "{":
            kinds[index] = kind_of_brace(tokens, match, index, stack[-1] if stack else None)
            stack.append(kinds[index])
        elif token.text == "}" and stack:
            stack.pop()
    return kinds


def missing_braces(tokens, match, kinds):
    """Lines of if, for, while, switch, else and do whose statement has no braces."""
    for index, token in enumerate(tokens):
        if token.kind != "word" or token.text not in CONTROLS | {"else", "do"}:
            continue
        after = index + 1
        allowed = ("{", "if") if token.text == "else" else ("{",)
        if token.text in CONTROLS:
            if after not in match or tokens[after].text != "(":
                continue  # a macro's half, or a name in a macro's body
            after = match[after] + 1
            ends_do = (index > 0 and tokens[index - 1].text == "}"
                       and kinds.get(match.get(index - 1)) == "do")
            if token.text == "while" and ends_do:
                continue
        if after < len(tokens) and tokens[after].text not in allowed:
            yield token.line, token.text


# ---- functions ---------------------------------------------------------------------------------

class Function:
    def __init__(self, name, parameters, static, line, start, end):
        self.name, self.parameters, self.static = name, parameters, static
        self.line = line                    # of the first word of the signature
        self.start, self.end = start, end   # token indexes of the body's braces


def parameter_count(tokens, match, start):
    """Of the parameter list that opens at start."""
    parts, index = [[]], start + 1
    while index < match[start]:
        if tokens[index].text == ",":
            parts.append([])
        else:
            parts[-1].append(tokens[index].text)
        index = match[index] + 1 if tokens[index].text in "([{" and index in match else index + 1
    return len([part for part in parts if part and part not in (["void"], ["..."])])


def groups(tokens, match, begin, end):
    """Outermost `word (` of a declaration, attributes left out: indexes of the parentheses."""
    index = begin
    while index < end:
        token = tokens[index]
        if token.text in ("(", "[") and index in match:
            before = tokens[index - 1]
            if (token.text == "(" and index > begin and before.kind == "word"
                    and before.text not in ATTRIBUTES):
                yield index
            index = match[index]
        index += 1


def signature(tokens, match, begin, end):
    """(name, index of the parameter list) when the tokens before a brace are a function's."""
    found = list(groups(tokens, match, begin, end))
    plain = [index for index in found if not MACRO_NAME.match(tokens[index - 1].text)]
    last = tokens[end - 1]
    closes = last.text == ")" or (last.kind == "word" and MACRO_NAME.match(last.text))
    if not found or not closes:
        return None
    depth_zero = begin
    while depth_zero < end:
        if tokens[depth_zero].text == "=":
            return None
        depth_zero = match.get(depth_zero, depth_zero) + 1
    chosen = (plain or found)[0]
    return tokens[chosen - 1].text, chosen


def after_lone_macros(tokens, match, begin, end):
    """Skip `LIKE_THIS(x)` on lines of their own in front of a declaration."""
    while (begin + 1 < end and MACRO_NAME.match(tokens[begin].text) and begin + 1 in match
           and match[begin + 1] + 1 < end
           and tokens[match[begin + 1] + 1].line > tokens[match[begin + 1]].line):
        begin = match[begin + 1] + 1
    return begin


def functions(tokens, match):
    """Every function defined at the top level of a file."""
    begin = index = 0
    while index < len(tokens):
        text = tokens[index].text
        if text in ("(", "[") and index in match:
            index = match[index]
        elif text == ";" or text == "}":
            begin = index + 1
        elif text == "{" and index and tokens[index - 1].kind == "string":
            begin = index + 1  # extern "C"
        elif text == "{" and index in match:
            begin = after_lone_macros(tokens, match, begin, index)
            found = signature(tokens, match, begin, index) if begin < index else None
            if found:
                static = any(token.text == "static" for token in tokens[begin:found[1]])
                yield Function(found[0], parameter_count(tokens, match, found[1]), static,
                               tokens[begin].line, index, match[index])
                begin = match[index] + 1
            index = match[index]
        index += 1


def deepest(function, tokens, kinds):
    """(levels, line) of the block that lies deepest in the function."""
    worst, stack = (0, function.line), []
    for index in range(function.start, function.end + 1):
        if tokens[index].kind != "punct":
            continue
        if tokens[index].text == "{":
            stack.append(kinds[index] if index != function.start else "body")
            levels = sum(kind in ("block", "do") for kind in stack)
            worst = max(worst, (levels, tokens[index].line), key=lambda found: found[0])
        elif tokens[index].text == "}" and stack:
            stack.pop()
    return worst


def called_names(tokens, found):
    """Names that stand before a parenthesis inside a function's body."""
    return {tokens[index].text for function in found
            for index in range(function.start, function.end)
            if tokens[index].kind == "word" and tokens[index + 1].text == "("}


# ---- checks ------------------------------------------------------------------------------------

def check_functions(tokens):
    match = pair_up(tokens)
    kinds = kinds_of_braces(tokens, match)
    found = list(functions(tokens, match))
    called = called_names(tokens, found)
    for function in found:
        lines = tokens[function.end].line - function.line + 1
        if lines > FUNCTION_LINES:
            yield function.line, f"{function.name} has {lines} lines, at most {FUNCTION_LINES}"
        levels, line = deepest(function, tokens, kinds)
        if levels > LEVELS:
            yield line, f"{function.name} nests {levels} levels, at most {LEVELS}"
        # A static function that nobody here calls is a callback: a library drew its signature.
        callback = function.static and function.name not in called
        if function.parameters > PARAMETERS and not callback:
            yield function.line, (f"{function.name} has {function.parameters} parameters, "
                                  f"at most {PARAMETERS}")
    for line, word in missing_braces(tokens, match, kinds):
        yield line, f"`{word}` without braces"


def check_macro(token):
    """A macro's body: its braces, and its length when it holds statements."""
    head = re.match(r"#\s*define\s+\w+(\([^)]*\))?", token.text)
    body = tree.tokens(token.text[head.end():], token.line + token.text[:head.end()].count("\n"),
                       first=False)
    match = pair_up(body)
    for line, word in missing_braces(body, match, kinds_of_braces(body, match)):
        yield line, f"`{word}` without braces"
    lines = token.end - token.line + 1
    if lines > FUNCTION_LINES and any(part.text == "{" for part in body):
        yield token.line, f"a macro of {lines} lines, at most {FUNCTION_LINES}"


def check_text(text):
    """(line, what is wrong) for each problem of a file's text."""
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield 1, f"{lines} lines, at most {FILE_LINES}"
    tokens = tree.tokens(text)
    yield from check_functions(without_directives(tokens))
    for token in tokens:
        if token.kind == "directive" and re.match(r"#\s*define\s+\w", token.text):
            yield from check_macro(token)


def check(root):
    problems = []
    for path in tree.project_files(root, ".c", ".h"):
        for line, wrong in sorted(check_text(path.read_text())):
            problems.append(f"{path.relative_to(root)}:{line}: {wrong}")
    return problems


if __name__ == "__main__":
    sys.exit(tree.report(check(tree.root_from_args())))
