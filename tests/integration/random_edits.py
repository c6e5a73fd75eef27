"""Random posts with known links in four formats, and what authors do to them."""

import json
import re
from random import Random
from typing import Final

MARK: Final = "[链接已移除]"
_WORDS: Final = (
    "今天",
    "入手",
    "裙子",
    "真的",
    "好看",
    "推荐",
    "外套",
    "质感",
    "不错",
    "颜色",
    "😀",
    "a",
    " ",
    "，",
    "！",
)
_PLATFORMS: Final = ("https://item.taobao.com/item.htm?id={}", "https://detail.tmall.com/item.htm?id={}")
ANY_LINK: Final = r"https://(?:item\.taobao|detail\.tmall)\.com/item\.htm\?id=6\d{11}"
# A link and what takes its place are changed as a whole or not at all.
_UNITS: Final = re.compile(rf"{ANY_LINK}|{re.escape(MARK)}|.", re.DOTALL)


class Writer:
    """Makes posts and edits them, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._links = 0

    def text(self) -> str:
        """Prose with up to four links, sometimes with none."""
        return (
            "".join(self._prose() + self._link() for _ in range(self.random.choice((0, 1, 1, 2, 2, 4)))) + self._prose()
        )

    def html(self) -> str:
        """The same with markup around it."""
        parts = (f"<p>{self._prose()}{self._link()}</p>" for _ in range(self.random.choice((0, 1, 2))))
        return "".join(parts) + f"<p>{self._prose()}</p>"

    def card(self) -> str:
        """A JSON object with texts in it."""
        return json.dumps({"title": self._prose(), "text": self.text()}, ensure_ascii=False)

    def edit(self, text: str) -> str:
        """What an author may do to a text: anything but type a link, or a part of one."""
        units = _UNITS.findall(text)
        place = self.random.randrange(len(units) + 1)
        before, rest = "".join(units[:place]), units[place:]
        match self.random.randrange(6):
            case 0:
                return self._prose() + "。" + text
            case 1:
                return text + "。" + self._prose()
            case 2:
                return before + self._prose() + "".join(rest)
            case 3:
                return before + "".join(rest[self.random.randrange(1, 12) :])
            case 4:
                return text.replace(MARK, MARK + self._prose() + MARK, 1)
            case _:
                return self._prose()

    def edit_card(self, text: str) -> str:
        """An application reads the object, changes one of its texts, and writes it anew."""
        card = json.loads(text)
        name = self.random.choice(list(card))
        card[name] = self.edit(card[name])
        if self.random.random() < 0.3:
            card["更新"] = self._prose()
        return json.dumps(card, ensure_ascii=False)

    def _prose(self) -> str:
        return "".join(self.random.choice(_WORDS) for _ in range(self.random.randrange(0, 9)))

    def _link(self) -> str:
        self._links += 1
        return " " + self.random.choice(_PLATFORMS).format(600_000_000_000 + self._links) + " "
