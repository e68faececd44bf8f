"""A value in a page of GitHub's, or in a log: as text that means nothing, whoever chose it.

In Markdown every value is code whose characters other than letters, digits and spaces are numbered entities: those
build no markup, link, mention or reference (CommonMark 0.31 section 6.2; GitHub mentions nobody in code). Control and
formatting characters (ANSI sequences, marks of direction) are shown as what they are: a question mark.
"""

import unicodedata

LONGEST = 600
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})


def plain(text: str, longest: int = LONGEST) -> str:
    """One line without control characters, for a log or a terminal."""
    shown = "".join(map(_visible, text[: longest + 1]))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def code(text: str, longest: int = LONGEST) -> str:
    """A value in Markdown."""
    return f"<code>{''.join(map(_harmless, plain(text, longest)))}</code>"


def block(text: str, longest: int) -> str:
    """Lines in Markdown: as code, without an end that they could write themselves."""
    lines = [plain(line, 400) for line in text.splitlines()]
    kept = "\n".join(lines)[:longest].splitlines()
    return "<pre>" + "\n".join("".join(map(_harmless, line)) or "&#32;" for line in kept) + "</pre>"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    return "?" if category in _HIDDEN else " " if category == "Zs" else character


def _harmless(character: str) -> str:
    return character if character.isalnum() or character == " " else f"&#{ord(character)};"
