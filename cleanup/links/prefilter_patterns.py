"""The byte patterns that every link of a policy shows, however it is spelled.

Each pattern is either the literal of a host, or independent of any host: so a policy of a thousand
hosts costs hardly more than one of ten. Patterns are written over UTF-8 bytes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cleanup.links.rules import Policy, ShareCodeRule
from cleanup.vocabulary import ColumnFormat

_HOST: Final = "[0-9A-Za-z_-]"
_DOT: Final = r"(?:\xe3\x80\x82|\xef\xbc\x8e|\xef\xbd\xa1)"
_AUTHORITY: Final = r"""[!$-.0-;=@-\[\]_a-z~]"""
# Non-ASCII characters that a browser drops from a host or turns into letters, digits and hyphens.
_MAPPED: Final = (
    r"(?:\xc2[\xaa\xad\xb2\xb3\xb9\xba]|\xc4[\xb2\xb3]|\xc5\xbf|\xc7[\x87-\x8c\xb1-\xb3]|\xca[\xb0-\xb8]|\xcb[\xa1-\xa3]"
    r"|\xe1[\xb4-\xb6][\x80-\xbf]|\xe2\x80\x8b|\xe2\x81[\xa0\xb0-\xbf]|\xe2\x82[\x80-\xa8]|\xe2[\x84\x85\x91-\x93][\x80-\xbf]"
    r"|\xe2\xb1[\xbc\xbd]|\xe3[\x89-\x8f][\x80-\xbf]|\xea\x9f[\xb2-\xb4]|\xef\xac[\x80-\x86]|\xef\xb8\x8f|\xef\xb9[\x8d-\x8f\xa3]|\xef\xb8[\xb3\xb4]"
    r"|\xef\xbb\xbf|\xef\xbc[\x8d\x90-\x99\xa1-\xba\xbf]|\xef\xbd[\x81-\x9a]|\xf0\x90\x9e\xa5"
    r"|\xf0\x9d[\x90-\x9f][\x80-\xbf]|\xf0\x9f[\x84-\x86][\x80-\xbf]|\xf0\x9f\xaf[\x80-\xbf])"
)
_DOT_IN_HOST: Final = rf"(?:{_DOT}(?:{_HOST}|{_MAPPED}))"
_EMOJI: Final = (
    r"\xf0\x9f[\x80-\xbf][\x80-\xbf]|\xe2(?:\x80\xbc|\x81\x89|\x83\xa3|\x84[\xa2\xb9]|[\x86-\x9f\xa4\xac\xad][\x80-\xbf])"
    r"|\xe3\x80[\xb0\xbd]|\xe3\x8a[\x97\x99]|\xef\xb8[\x8e\x8f]|\xc2[\xa9\xae]"
)
_EMOJI_FIRST: Final = frozenset(b"\xf0\xe2\xe3\xef\xc2")
_EMOJI_LAST: Final = frozenset(range(0x80, 0xC0))
# What an escaped mark begins with, or has before the letters and digits that it ends with.
_ESCAPE_BYTES: Final = frozenset(b"\\/;&#")
_PERCENT: Final = "%(?:25){0,2}"
_ENCODED_SLASH: Final = rf"{_PERCENT}(?:2f|5c)"
_INNER_AUTHORITY: Final = rf"(?:[0-9A-Za-z._~:@!$'()*+,;=-]|{_PERCENT}(?:40|3a))*"
# A percent-encoded letter, digit, hyphen, dot or non-ASCII byte; on the level of the slashes or one deeper.
_ENCODED_HOST: Final = "%(?:25){0,3}(?:2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f|[89a-f][0-9a-f])"
# `uffe5` of a JSON escape, `xffe5` or the digits of a reference that has no semicolon.
_LONGEST_ESCAPE: Final = 7
# The bytes of a mark, raw or escaped.
_LONGEST_MARK: Final = 12
# ASCII escapes but for "&'<=>, which serializers write as a matter of course and no host or code holds.
_JSON_ASCII: Final = r"\\u00(?:2[0134589a-f]|3[0-9abf]|[4-7][0-9a-f])"
_REFERENCE_ASCII: Final = (
    r"&#(?:0*(?:3[3567]|4[0-9]|5[0-9]|6[34-9]|[78][0-9]|9[0-9]|1[01][0-9]|12[0-6])[^0-9]"
    r"|x0*(?:2[13-589a-f]|3[0-9abf]|[4-7][0-9a-f])[^0-9a-f])"
    r"|&(?:period|sol|colon|lowbar|percnt|lpar|rpar|excl|commat|num|bsol|hyphen|shy|dollar|zerowidthspace"
    r"|nobreak|negative[a-z]+space|[a-z](?:fr|opf|scr));?"
)
_REFERENCE_DOT: Final = r"&#(?:0*(?:12290|65294|65377)|x0*(?:3002|ff0e|ff61))(?:;|[^0-9a-f])"
_JSON_DOT: Final = r"\\u(?:3002|ff0e|ff61)"


@dataclass(frozen=True, slots=True)
class BytePattern:
    """One pattern; `literal` is its length where it is a host, whose neighbours are looked at too.

    With a `frame`, a hit counts only where that holds around it: it costs little to look at the few places that
    a simple pattern finds, and much to look everywhere for a complicated one.
    """

    expression: str
    literal: int = 0
    frame: "CodeFrame | None" = None


@dataclass(frozen=True, slots=True)
class CodeFrame:
    """What stands around a code: an expression over all of it, and the bytes that can be before it."""

    expression: str
    bytes_before: frozenset[int]
    reach: int


def byte_patterns(policy: Policy, formats: frozenset[ColumnFormat]) -> tuple[BytePattern, ...]:
    """Every pattern that a value in one of the formats must show to hold a link of the policy."""
    escapes = _Escapes(formats)
    hosts = tuple(BytePattern(re.escape(host), len(host)) for host in policy_roots(policy))
    others = (*_obfuscated(policy, escapes), *_schemes(policy, escapes))
    return (*hosts, *(BytePattern(expression) for expression in others), *_codes(policy, escapes))


def policy_roots(policy: Policy) -> tuple[str, ...]:
    """The hosts whose links are reported, without those that another one covers."""
    names = {rule.host for rule in policy.hosts if rule.kind.decision is not None or rule.kind.counted}
    return tuple(sorted(host for host in names if not any(suffix in names for suffix in _parents(host))))


def _parents(host: str) -> Iterator[str]:
    parent = host.partition(".")[2]
    while parent:
        yield parent
        parent = parent.partition(".")[2]


class _Escapes:
    """How the formats can spell the characters around a link."""

    def __init__(self, formats: frozenset[ColumnFormat]) -> None:
        self.json = ColumnFormat.JSON in formats
        self.references = bool(formats & {ColumnFormat.HTML, ColumnFormat.MARKDOWN})
        self.markdown = ColumnFormat.MARKDOWN in formats
        colon, slash = [r"\\*:"], [r"[\\/]"]
        if self.json:
            colon.append(r"\\u003a")
            slash.append(r"\\u002f")
        if self.references:
            colon.append("&(?:#0*58|#x0*3a|colon);?")
            slash.append("&(?:#0*47|#x0*2f|sol);?")
        self.letters_before = _LONGEST_ESCAPE if self.json or self.references else 0
        self.colon = f"(?:{'|'.join(colon)})"
        self.slash = f"(?:{'|'.join(slash)})"
        # The value of an attribute or of a whole column may begin with the slashes.
        whole = formats & {ColumnFormat.HTML, ColumnFormat.MARKDOWN, ColumnFormat.URL}
        self.authority_start = f"{'' if whole else self.colon}{self.slash}{{2,}}"

    def marks(self, marks: str, *, before: bool) -> str:
        """An alternation of the marks around a code, raw or escaped."""
        spelled = [_bytes(mark) for mark in marks]
        if self.json:
            spelled += [r"\\u[0-9a-f]{4}", r"\\*/"] if before else [r"\\"]
        if self.references:
            spelled += [";", "&#(?:[0-9]{2,6}|x[0-9a-f]{2,6})", "&(?:yen|cent|pound|copy|reg)"] if before else ["&"]
        return "|".join(spelled)


def _obfuscated(policy: Policy, escapes: _Escapes) -> Iterator[str]:
    # Two letters of what stands behind a dot: so they are few, however many hosts there are.
    beginnings = sorted({label[:2] for root in policy_roots(policy) for label in root.split(".")[1:]})
    # One each, which are literals to the library: of an alternation it would look at every ideographic full stop, and
    # there are many.
    yield from (rf"{_HOST}{_DOT}{re.escape(beginning)}" for beginning in beginnings)
    start = rf"{escapes.authority_start}{_AUTHORITY}*"
    inner = rf"(?:{_ENCODED_SLASH}|[\\/]){{2,}}{_INNER_AUTHORITY}"
    disguised = rf"{_MAPPED}|{_DOT_IN_HOST}"
    if escapes.json:
        yield _JSON_ASCII
        yield rf"{_HOST}{_JSON_DOT}(?:{'|'.join(map(re.escape, beginnings))})"
        disguised += r"|\\u"
    if escapes.references:
        yield _REFERENCE_ASCII
        yield rf"{_HOST}{_REFERENCE_DOT}"
        disguised += "|&(?:#|[a-z])"
    if escapes.json and escapes.references:
        # A leaf of a document may be HTML itself: then the ampersand of its references can be escaped.
        yield r"\\u0026"
    yield rf"{start}(?:{disguised}|%[0-9a-f]{{2}})"
    yield rf"{inner}(?:{disguised}|{_ENCODED_HOST})"
    if escapes.markdown:
        yield rf"{_HOST}\\[.-]{_HOST}"


def _schemes(policy: Policy, escapes: _Escapes) -> Iterator[str]:
    names = sorted({rule.scheme for rule in policy.schemes if rule.kind.decision is not None})
    if names:
        anyone = "|".join(map(re.escape, names))
        yield rf"(?:{anyone})(?:{escapes.colon}|{_PERCENT}3a)(?:{escapes.slash}|%)"


def _codes(policy: Policy, escapes: _Escapes) -> Iterator[BytePattern]:
    """A run of letters and digits as long as a code; whether marks stand around it is looked at where one is found."""
    for rule in policy.share_codes:
        lengths = (rule.strong_lengths.start, rule.strong_lengths.stop - 1, rule.weak_length)
        # An escaped mark before the code can end in letters and digits itself.
        longest = max(lengths) + escapes.letters_before
        after = _byte_class(_ESCAPE_BYTES | _EMOJI_FIRST | {mark.encode()[0] for mark in _marks(rule)})
        # To look for what can be before it takes the library three times as long.
        yield BytePattern(
            rf"[^0-9A-Za-z][0-9A-Za-z]{{{min(lengths)},{longest}}}{after}", frame=_frame(rule, escapes, longest)
        )


def _frame(rule: ShareCodeRule, escapes: _Escapes, longest: int) -> CodeFrame:
    return CodeFrame(
        expression="|".join((_strong_code(rule, escapes), *_weak_codes(rule, escapes))),
        bytes_before=_ESCAPE_BYTES | _EMOJI_LAST | {mark.encode()[-1] for mark in _marks(rule)},
        reach=longest + _LONGEST_MARK,
    )


def _marks(rule: ShareCodeRule) -> list[str]:
    """Every mark that can stand beside a code."""
    return [*rule.wrappers, *rule.delimiters, *"".join((*rule.brackets, *rule.pairs))]


def _strong_code(rule: ShareCodeRule, escapes: _Escapes) -> str:
    before, after = escapes.marks(rule.wrappers, before=True), escapes.marks(rule.wrappers, before=False)
    shortest, longest = rule.strong_lengths.start, rule.strong_lengths.stop - 1
    return rf"(?:{before})[0-9A-Za-z]{{{shortest},{longest}}}(?:{after})"


def _weak_codes(rule: ShareCodeRule, escapes: _Escapes) -> Iterator[str]:
    code = _with_a_digit(rule.weak_length)
    before, after = escapes.marks(rule.wrappers, before=True), escapes.marks(rule.wrappers, before=False)
    yield rf"(?:{before}|{_EMOJI}){code}(?:{after}|{_EMOJI})"
    for pair in (*rule.brackets, *rule.pairs):
        opening, closing = escapes.marks(pair[0], before=True), escapes.marks(pair[1], before=False)
        yield rf"(?:{opening}){code}(?:{closing})"
    if rule.delimiters:
        before, after = escapes.marks(rule.delimiters, before=True), escapes.marks(rule.delimiters, before=False)
        yield rf"(?:{before}){code}(?:{after})"


def _with_a_digit(length: int) -> str:
    """Letters and digits with one digit at least, so that words like `/application/` are none."""
    repeats = ((first, length - 1 - first) for first in range(length))
    at = (f"{_repeat('[A-Za-z]', before)}[0-9]{_repeat('[0-9A-Za-z]', after)}" for before, after in repeats)
    return f"(?:{'|'.join(at)})"


def _repeat(letters: str, count: int) -> str:
    # Hyperscan refuses a repeat of nothing.
    return f"{letters}{{{count}}}" if count else ""


def _bytes(mark: str) -> str:
    return "".join(map(_byte, mark.encode("utf-8")))


def _byte_class(of: Iterable[int]) -> str:
    return f"[{''.join(map(_byte, sorted(of)))}]"


def _byte(byte: int) -> str:
    return f"\\x{byte:02x}"
