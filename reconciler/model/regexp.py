"""Regular expressions of Go's syntax (RE2), as patterns in schemas and matches() in CEL write them.

The syntaxes differ little: `\\z`, POSIX classes, `\\Q...\\E`, \\pL, and that `$` never matches before a last newline.
Back references and look-arounds, which Python knows and Go refuses, are refused here too.
"""

import re
from functools import lru_cache

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7F", "blank": r"\t ", "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_UNICODE = {"L": r"^\W\d_", "Lu": "A-ZÀ-ÖØ-Þ", "Ll": "a-zß-öø-ÿ", "N": r"\d", "Nd": r"\d"}
_REFUSED_GROUPS = ("(?=", "(?!", "(?<=", "(?<!", "(?#", "(?(", "(?>", "(?P=", "(?P>")


class Invalid(ValueError):
    """The pattern is none; the text is Go's."""


@lru_cache(maxsize=1024)
def compile(pattern: str) -> re.Pattern[str]:
    """Raises Invalid."""
    try:
        return re.compile(_translated(pattern), re.ASCII if not _has_wide(pattern) else 0)
    except (re.error, OverflowError) as error:
        raise Invalid(_complaint(pattern, str(error))) from None


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern occurs anywhere in the text."""
    return compile(pattern).search(text) is not None


def _has_wide(pattern: str) -> bool:
    return r"\p" in pattern or r"\P" in pattern


def _translated(pattern: str) -> str:
    made: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            piece, at = _escape(pattern, at, in_class)
            made.append(piece)
            continue
        if in_class and pattern.startswith("[:", at) and (end := pattern.find(":]", at)) > 0:
            made.append(_POSIX.get(pattern[at + 2 : end], ""))
            at = end + 2
            continue
        if char == "[" and not in_class:
            in_class = True
            made.append("[")
            at += 1
            while at < len(pattern) and pattern[at] in "^]":
                made.append("^" if pattern[at] == "^" else r"\]")
                at += 1
                if pattern[at - 1] == "]":
                    break
            continue
        if char == "]" and in_class:
            in_class = False
        elif in_class and char == "[":
            char = r"\["
        elif char == "$" and not in_class and "(?m" not in pattern:
            char = r"\Z"
        elif char == "(" and not in_class and pattern.startswith(_REFUSED_GROUPS, at):
            raise Invalid(f"error parsing regexp: invalid or unsupported Perl syntax: `{pattern[at : at + 3]}`")
        made.append(char)
        at += 1
    return "".join(made)


def _escape(pattern: str, at: int, in_class: bool) -> tuple[str, int]:
    following = pattern[at + 1 : at + 2]
    if not following:
        raise Invalid("error parsing regexp: trailing backslash at end of expression: ``")
    if following == "z":
        return r"\Z", at + 2
    if following == "Q":
        end = pattern.find(r"\E", at + 2)
        end = len(pattern) if end < 0 else end
        return re.escape(pattern[at + 2 : end]), end + 2
    if following in "pP":
        braced = re.match(r"\{(\^?)(\w+)\}", pattern[at + 2 :])
        name = braced[2] if braced else pattern[at + 2 : at + 3]
        known = _UNICODE.get(name, r"\w")
        body = known.lstrip("^") if in_class else known
        end = at + 2 + (len(braced[0]) if braced else 1)
        return (body if in_class else f"[{body}]"), end
    if following.isdecimal() and following != "0":
        raise Invalid(f"error parsing regexp: invalid escape sequence: `\\{following}`")
    if following.isalpha() and following not in "abdfnrstvwxABDSW":
        raise Invalid(f"error parsing regexp: invalid escape sequence: `\\{following}`")
    if following == "x" and pattern[at + 2 : at + 3] == "{" and (end := pattern.find("}", at)) > 0:
        return re.escape(chr(int(pattern[at + 3 : end], 16))), end + 1
    return pattern[at : at + 2], at + 2


def _complaint(pattern: str, error: str) -> str:
    """Python's refusal in Go's words."""
    if "unterminated character set" in error:
        start = pattern.rfind("[")
        return f"error parsing regexp: missing closing ]: `{pattern[start:]}`"
    if "unterminated subpattern" in error:
        return f"error parsing regexp: missing closing ): `{pattern}`"
    if "unbalanced parenthesis" in error:
        return f"error parsing regexp: unexpected ): `{pattern}`"
    if "nothing to repeat" in error:
        found = re.search(r"[*+?]", pattern)
        return f"error parsing regexp: missing argument to repetition operator: `{found[0] if found else pattern}`"
    if "multiple repeat" in error:
        found = re.search(r"[*+?]{2,}", pattern)
        return f"error parsing regexp: invalid nested repetition operator: `{found[0] if found else pattern}`"
    if "bad character range" in error:
        return f"error parsing regexp: invalid character class range: `{error.split()[3]}`"
    return f"error parsing regexp: {error}"
