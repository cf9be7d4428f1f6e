"""The report as a web page: whole, and harmless whatever clusters have said."""

from html.parser import HTMLParser

from isthmus.conformance.page import as_html
from isthmus.conformance.report import Outcome
from tests.conformance.test_report import report, result


class Page(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_says_the_verdict_the_counts_and_of_each_check_what_was_seen() -> None:
    page = Page(as_html(report(result("C-1", Outcome.PASSED), result("C-16", Outcome.FAILED, "no label"))))
    for said in ("mcs: not conformant", "east (v1.36.3)", "2030-01-01", "1 failed", "C-16", "no label", "MCS-62"):
        assert said in page.text
    assert page.text.count("east: there: after 0.1 s: {}") == 2


def test_what_a_cluster_says_stays_text() -> None:
    page = Page(as_html(report(result("C-1", Outcome.FAILED, "<script>alert(1)</script> & <b>"))))
    assert "<script>alert(1)</script> & <b>" in page.text
    assert not {"script", "b", "img", "link"} & set(page.tags)
