"""What the finder says of a text: spans, and what was seen beside them."""

from typing import NamedTuple

from cleanup.vocabulary import Decision


class Span(NamedTuple):
    """One link in a value.

    `start` and `end` count code points of the raw value (of the raw document where the value
    is HTML, Markdown or JSON). `replacement` is the exact raw text that takes the span's place,
    already escaped for the format, and None where the decision leaves the text alone. `host` is
    the link's host as a browser maps it, a scheme such as `taobao:`, or empty for a share code.
    `children` are the links inside the label of an anchor or Markdown link; they are decided by
    themselves and restored with it as one unit.
    """

    start: int
    end: int
    platform: str
    kind: str
    decision: Decision
    reason: str
    host: str
    replacement: str | None = None
    children: tuple["Span", ...] = ()

    @property
    def label(self) -> str:
        """What the policy says of the link, in one word: platform/kind/decision."""
        return f"{self.platform}/{self.kind}/{self.decision.value}"

    def moved(self, by: int) -> "Span":
        """The same span in a text that has so many more characters before it."""
        return Span(
            self.start + by,
            self.end + by,
            self.platform,
            self.kind,
            self.decision,
            self.reason,
            self.host,
            self.replacement,
            tuple([child.moved(by) for child in self.children]) if self.children else (),
        )


class Recognition(NamedTuple):
    """Everything the finder says of one value.

    `spans` ascend and never overlap. `counted` names the hosts seen that the policy only counts,
    one entry a link. `problem` says why the value could not be read in its format (invalid JSON);
    such a value has no spans.
    """

    spans: tuple[Span, ...] = ()
    counted: tuple[str, ...] = ()
    problem: str | None = None

    def moved(self, by: int) -> "Recognition":
        """The same in a text that has so many more characters before it."""
        return Recognition(tuple([span.moved(by) for span in self.spans]), self.counted, self.problem)
