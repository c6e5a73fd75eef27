"""Which characters are emoji, and how far one reaches: joined families, flags and skin tones are one."""

import re
from typing import Final

_JOINER: Final = "\u200d"
# Variation selectors, the keycap, and skin tones belong to the emoji before them.
_MODIFIERS: Final = frozenset("\ufe0e\ufe0f\u20e3") | {chr(point) for point in range(0x1F3FB, 0x1F400)}
# The characters with the Unicode property Emoji, without digits, # and *.
_EMOJI: Final = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23f3"
    "\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2604\u260e\u2611\u2614\u2615\u2618\u261d"
    "\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f\u2660\u2663\u2665"
    "\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1"
    "\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd"
    "\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e"
    "\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50"
    "\u2b55\u3030\u303d\u3297\u3299\U0001f004\U0001f0cf\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e"
    "\U0001f191-\U0001f19a\U0001f1e6-\U0001f1ff\U0001f201\U0001f202\U0001f21a\U0001f22f\U0001f232-\U0001f23a"
    "\U0001f250\U0001f251\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0\U0001f900-\U0001faff]"
)


def emoji_start(text: str, end: int, floor: int) -> int:
    """Where the emoji that ends at `end` begins, or `end` where none ends there."""
    start = end
    while True:
        position = start - 1 if start < end else start
        while position > floor and text[position - 1] in _MODIFIERS:
            position -= 1
        if position <= floor or not _EMOJI.match(text, position - 1):
            return start
        start = position - 1
        if _is_flag(text, start) and start > floor and _is_flag(text, start - 1):
            start -= 1
        if start <= floor or text[start - 1] != _JOINER:
            return start


def emoji_end(text: str, start: int, limit: int) -> int:
    """Where the emoji that begins at `start` ends, or `start` where none begins there."""
    end = start
    while True:
        position = end + 1 if end > start else end
        if position >= limit or not _EMOJI.match(text, position):
            return end
        end = position + 1
        if _is_flag(text, position) and end < limit and _is_flag(text, end):
            end += 1
        while end < limit and text[end] in _MODIFIERS:
            end += 1
        if end >= limit or text[end] != _JOINER:
            return end


def _is_flag(text: str, position: int) -> bool:
    return "\U0001f1e6" <= text[position] <= "\U0001f1ff"
