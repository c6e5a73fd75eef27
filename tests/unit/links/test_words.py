"""The words of a policy: their numbers stand for them in what is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanup.compact_json import compact_json
from cleanup.links.policy import load_policy
from cleanup.links.words import Words, policy_words
from cleanup.resources import config_directory
from cleanup.vocabulary import Decision

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(texts, unique=True), st.none() | texts)
def test_a_text_comes_back_whether_it_is_a_word_or_not(words: list[str], text: str | None) -> None:
    said = Words(words)
    number = words.index(text) if text in words else None
    assert said.spell(text) == (compact_json(text) if number is None else str(number))
    assert said.read(text if number is None else number) == text


@pytest.mark.parametrize("stored", [-1, 2, True, 1.0, [], {}])
def test_what_is_no_number_of_a_word_is_refused(stored: object) -> None:
    with pytest.raises(ValueError, match="there is no word"):
        Words(["a", "b"]).read(stored)


def test_a_policy_has_each_of_its_words_once_and_always_in_the_same_order() -> None:
    policy = load_policy(config_directory() / "policy-xiaohongshu-2021.toml")
    words = policy_words(policy)
    assert len(set(words)) == len(words)
    assert words == policy_words(load_policy(config_directory() / "policy-xiaohongshu-2021.toml"))
    # What is said most has the shortest numbers; queries know decisions by theirs.
    assert set(words[:4]) == {decision.value for decision in Decision}
    assert words[4] == policy.placeholder
    assert {rule.reason for rule in policy.rules} <= set(words)
    assert "taobao/product/redact" in words
