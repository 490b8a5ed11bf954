"""The page that inverts in the browser, as tests use it."""

# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import contextlib
import http.server
from fractions import Fraction

import flint
import numpy as np

from oracle import rational


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files, and no word about them."""

    def log_message(self, format, *args):
        pass


SECONDS = 60_000


@contextlib.contextmanager
def opened(browser, address):
    """The playground; nothing may be asked of another host, and no script may fail."""
    page = browser.new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(f"{address}/playground.html")
    page.wait_for_function("!document.getElementById('playground-invert').disabled")
    yield page
    page.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert failed == []


def part(page, name):
    return page.locator(f"#playground-{name}")


def finish(page):
    """Wait for an answer, and return what the page says of it."""
    page.wait_for_function(
        "/ertified:/.test(document.getElementById('playground-state').textContent)"
        " || document.getElementById('playground-error').textContent",
        timeout=SECONDS,
    )
    return part(page, "state").inner_text() or part(page, "error").inner_text()


def invert(page, text):
    part(page, "state").evaluate("element => (element.textContent = '')")
    part(page, "matrix").fill(text)
    part(page, "invert").click()
    return finish(page)


def answer(page):
    text = part(page, "inverse").input_value()
    return np.array([[float(x) for x in line.split(",")] for line in text.splitlines()])


def as_text(A):
    return "\n".join(", ".join(repr(float(x)) for x in row) for row in A)


def said(page, name):
    """A list of terms as a dictionary."""
    terms = part(page, name).locator("dt").all_inner_texts()
    return dict(zip(terms, part(page, name).locator("dd").all_inner_texts(), strict=True))


def rounded_inverse(A):
    """Each entry of the exact inverse, rounded once."""
    exact = flint.fmpq_mat(*A.shape, [rational(x) for x in A.ravel()]).inv()
    return np.array([float(Fraction(int(x.p), int(x.q))) for x in exact.entries()]).reshape(A.shape)
