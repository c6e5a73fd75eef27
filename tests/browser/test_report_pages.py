"""The sign-off page in a real browser: it renders, sorts, opens, prints on A4, and hostile posts stay text."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.browser.chromium import Page, browser
from tests.integration.report_posts import HOSTILE, planned
from tests.plugins.servers import WHEEL_MAJOR, Servers

# A4 in points, as far as a browser that reckons in pixels can meet it.
A4: Final = (595.28, 841.89)
ARTIFACTS: Final = Path(__file__).parents[2] / "artifacts" / "report-pages"


@pytest.fixture(scope="module")
def folder(servers: Servers) -> Iterator[Path]:
    """The reports of a plan with hostile posts, before a run of it and after."""
    server = servers.running(WHEEL_MAJOR)
    with planned(server, "CREATE COLLATION linguistic (provider = libc, locale = 'C')", 1_000) as job:
        job.done("report", 1, "--html", "plan.html", "--samples", 20)
        job.done("report", 1, "--html", "short.html", "--samples", 1)
        digest = str(job.done("report", 1, "--format", "json").report["digest"])
        job.tamper("UPDATE cleanup.plan SET state = 'scanning', finished_at = NULL, digest = NULL")
        job.done("report", 1, "--html", "unfinished.html")
        job.tamper(f"UPDATE cleanup.plan SET state = 'finished', finished_at = now(), digest = '\\x{digest}'")
        job.done("approve", 1, "--digest", digest, "--by", "<b>Ana</b>\u202e", "--ticket", "=1+1")
        job.done("apply", 1, status=1)
        job.done("report", 1, "--html", "applied.html", "--samples", 1)
        job.done("report", "--run", 1, "--html", "run.html")
        job.done("rollback", 1)
        job.done("report", "--run", 2, "--html", "rollback.html")
        yield job.folder


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    with browser(chromium) as opened:
        yield opened


def show(page: Page, file: Path) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.open(file.as_uri())


def number(page: Page, script: str) -> float:
    value = page.value(script)
    assert isinstance(value, int | float)
    return value


@pytest.fixture(scope="module")
def pictures() -> Path:
    """Where the pages' pictures stay for whoever wants to look: each test has names of its own, on any worker."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS


PAGES: Final = ("plan", "short", "unfinished", "applied", "run", "rollback")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_and_complains_of_nothing(page: Page, folder: Path, pictures: Path, name: str) -> None:
    file = folder / f"{name}.html"
    show(page, file)
    # What a policy forbids is complained of as it happens; so is a script that ends with an error.
    assert page.complaints == []
    assert page.requests == [file.as_uri()]
    assert page.dialogs == 0
    assert page.value("document.title") != "owned"
    page.screenshot(pictures / f"{name}-1.png")
    page.screenshot(pictures / f"{name}-2.png", top=1400)
    # Nothing is wider than the window it is read in.
    assert number(page, "document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_policy_of_the_page_lets_nothing_in(page: Page, folder: Path) -> None:
    show(page, folder / "plan.html")
    page.value(
        "const one = document.createElement('script'); one.append('document.title = 1'); document.body.append(one)"
    )
    page.value("document.body.insertAdjacentHTML('beforeend', '<img src=http://127.0.0.1:9/x onerror=alert(2)>')")
    assert page.value("document.title") != "1"
    assert page.dialogs == 0
    assert len([line for line in page.complaints if "Content Security Policy" in line]) >= 2


def test_hostile_posts_stay_text(page: Page, folder: Path) -> None:
    show(page, folder / "plan.html")
    texts = str(page.value("[...document.querySelectorAll('.text')].map(one => one.textContent).join('\\n')"))
    shown = [re.sub(r"[\x00-\x1f\u200b-\u2069]", "", hostile) for hostile in HOSTILE]
    plain = re.sub(r"\\u00[01][0-9a-f]|\\u20[0-6][0-9a-f]", "", texts)
    assert [hostile for hostile in shown if hostile not in plain] == []
    assert page.value("document.querySelectorAll('.text img, .text script, .text svg, .text a').length") == 0
    assert page.value("document.querySelectorAll('script').length") == 1
    # The order of what follows a post is not the post's to change.
    assert "\u202e" not in str(page.value("document.body.textContent"))
    assert number(page, "document.body.textContent.length") < 2_000_000


def test_a_click_on_a_head_sorts_the_table(page: Page, folder: Path) -> None:
    show(page, folder / "plan.html")
    column = "[...document.querySelectorAll('#decisions tbody tr')].map(row => Number(row.lastElementChild.dataset.n))"
    head = "document.querySelector('#decisions thead th:last-child')"
    before = page.value(column)
    assert isinstance(before, list)
    foot = page.value("document.querySelector('#decisions tfoot').textContent")
    page.value(f"{head}.querySelector('button').click()")
    assert page.value(column) == sorted(before, reverse=True) != before
    assert page.value(f"{head}.getAttribute('aria-sort')") == "descending"
    page.value(f"{head}.querySelector('button').click()")
    assert page.value(column) == sorted(before)
    assert page.value("document.querySelector('#decisions tfoot').textContent") == foot
    words = "[...document.querySelectorAll('#decisions tbody tr')].map(row => row.cells[1].textContent)"
    page.value("document.querySelector('#decisions thead th:nth-child(2) button').click()")
    assert page.value(words) == sorted(page.value(words))  # type: ignore[call-overload]  # a list, or the test fails


def test_samples_open(page: Page, folder: Path) -> None:
    show(page, folder / "plan.html")
    closed = "[...document.querySelectorAll('details:not([open]) .sample')]"
    assert number(page, f"{closed}.length") > 10
    assert page.value(f"{closed}.some(one => one.checkVisibility({{contentVisibilityAuto: true}}))") is False
    page.value("document.querySelectorAll('details:not([open]) > summary').forEach(one => one.click())")
    assert number(page, f"{closed}.length") == 0
    assert page.value("[...document.querySelectorAll('.sample')].every(one => one.checkVisibility())") is True


@pytest.mark.parametrize("name", PAGES)
def test_the_print_fits_a4(page: Page, folder: Path, pictures: Path, name: str) -> None:
    show(page, folder / f"{name}.html")
    content = page.print_to(pictures / f"{name}.pdf")
    boxes = set(re.findall(rb"/MediaBox \[\S+ \S+ (\S+) (\S+)\]", content))
    ((width, height),) = boxes
    assert float(width) == pytest.approx(A4[0], abs=1)
    assert float(height) == pytest.approx(A4[1], abs=1)
    # What is wider than the paper's print area would be cut off, or shrink everything else.
    page.ask("Emulation.setEmulatedMedia", media="print")
    page.ask("Emulation.setDeviceMetricsOverride", width=680, height=1000, deviceScaleFactor=1, mobile=False)
    try:
        wide = "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > 681)"
        assert page.value(f"{wide}.map(one => one.outerHTML.slice(0, 200))") == []
        # Paper has no clicks: what is closed on the screen is printed all the same.
        hidden = "[...document.querySelectorAll('.sample')].filter(one => one.getBoundingClientRect().height === 0)"
        assert page.value(f"{hidden}.length") == 0
        page.screenshot(pictures / f"{name}-print.png", width=680, height=1000)
    finally:
        page.ask("Emulation.setEmulatedMedia", media="")
        page.ask("Emulation.clearDeviceMetricsOverride")
