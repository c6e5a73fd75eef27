"""The policy's share codes and cues."""

from typing import Final

from cleanup.document import Section
from cleanup.links.policy_platforms import PlatformReader
from cleanup.links.rules import LiveCues, ShareCodeRule

_LONGEST_CODE: Final = 32


def read_live_cues(table: Section) -> LiveCues:
    """Read `[live_cues]`: spellings, and whole ASCII words."""
    cues = LiveCues(_cues(table, "spellings"), tuple(word.lower() for word in table.texts("words", ())))
    for word in cues.words:
        if not (word.isascii() and word.isalnum()):
            table.problem("words", f"holds {word!r}; a word is ASCII letters and digits only")
    table.close()
    return cues


def read_share_codes(table: Section, platforms: PlatformReader) -> tuple[ShareCodeRule, ...]:
    """Read `[share_codes.*]`, one table for each platform that has such codes."""
    rules = []
    for platform in table.keys():  # noqa: SIM118 - a Section is no mapping
        platforms.title(table, platform)
        rules.append(_read_rule(table.section(platform), platform, platforms))
    return tuple(rules)


def _read_rule(entry: Section, platform: str, platforms: PlatformReader) -> ShareCodeRule:
    kinds = {}
    for name in ("strong", "weak_beside_cue", "weak_without_cue"):
        part = entry.section(name)
        kinds[name] = platforms.read_rule(part, platform, "share_code", label=part.text("label", "share code"))
        part.close()
    shortest = entry.integer("strong_shortest", minimum=4, maximum=_LONGEST_CODE)
    longest = entry.integer("strong_longest", minimum=shortest, maximum=_LONGEST_CODE)
    rule = ShareCodeRule(
        strong=kinds["strong"],
        weak_beside_cue=kinds["weak_beside_cue"],
        weak_without_cue=kinds["weak_without_cue"],
        wrappers=_characters(entry, "wrappers"),
        brackets=_pairs(entry, "brackets"),
        pairs=_pairs(entry, "pairs"),
        delimiters=_characters(entry, "delimiters"),
        strong_lengths=range(shortest, longest + 1),
        weak_length=entry.integer("weak_length", minimum=4, maximum=_LONGEST_CODE),
        product_words=tuple(word.casefold() for word in entry.texts("product_words", ())),
        cues=_cues(entry, "cues"),
        copying_cues=_cues(entry, "copying_cues"),
        other_app_cues=_cues(entry, "other_app_cues"),
        fillers=entry.text("fillers", ""),
    )
    entry.close()
    return rule


def _cues(entry: Section, key: str) -> tuple[str, ...]:
    cues = entry.texts(key, ())
    if any(not cue.strip() for cue in cues):
        entry.problem(key, "holds an empty cue, which would stand on every line")
    return tuple(cue for cue in cues if cue.strip())


def _pairs(entry: Section, key: str) -> tuple[str, ...]:
    pairs = entry.texts(key, ())
    for pair in pairs:
        if len(pair) != 2 or any(_is_code_character(mark) for mark in pair):
            entry.problem(key, f"holds {pair!r}; a pair is its opening and its closing mark")
    return tuple(pair for pair in pairs if len(pair) == 2)


def _characters(entry: Section, key: str) -> str:
    marks = entry.text(key, "")
    if any(_is_code_character(mark) for mark in marks):
        entry.problem(key, f"is {marks!r}; a mark around a code is no letter or digit of it and no space")
    return marks


def _is_code_character(mark: str) -> bool:
    return mark.isspace() or (mark.isascii() and mark.isalnum())
