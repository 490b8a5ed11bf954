"""The built site in headless Chromium: the playground, and searching without a server."""

# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from playground import (
    SECONDS,
    Quiet,
    answer,
    as_text,
    finish,
    invert,
    opened,
    part,
    rounded_inverse,
    said,
)

pytestmark = pytest.mark.browser

BUILD = Path(__file__).parents[1] / "build"
SITE = BUILD / "site"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address():
    assert (SITE / "playground.html").exists(), "no site: run `make docs`"
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Chromium is not installed: apt-get install chromium"
    from playwright.sync_api import sync_playwright  # where it is missing, this fails

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def fresh(browser, address):
    """A page that has loaded nothing yet."""
    with opened(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def loaded(browser, address):
    with opened(browser, address) as page:
        yield page


@pytest.fixture
def page(loaded):
    """The page that the tests before have left, without their answers."""
    loaded.set_viewport_size({"width": 1280, "height": 900})
    loaded.evaluate(
        "for (const name of ['state', 'error'])"
        " document.getElementById(`playground-${name}`).textContent = '';"
        "document.getElementById('playground-file').value = '';"
    )
    return loaded


def test_an_inverse_is_certified_and_exact(fresh):
    page = fresh
    seen = "new MutationObserver(() => window.seen.push(state.textContent))"
    page.evaluate(
        "() => { window.seen = []; const state = document.getElementById('playground-state');"
        f"{seen}.observe(state, {{childList: true}}) }}"
    )
    A = np.array([[4.0, -2, 1], [-2, 4, -2], [1, -2, 4]])
    assert invert(page, as_text(A)).startswith("Certified: order 3")
    np.testing.assert_array_max_ulp(answer(page), rounded_inverse(A), 1)
    certificate, exact = said(page, "certificate"), said(page, "exact")
    assert certificate["certified"].startswith("yes")
    assert exact["within the proven bound"] == "yes"
    bound = float(certificate["‖A⁻¹ − X‖ is proven below"])
    assert float(exact["true error ‖A⁻¹ − X‖"]) <= bound * (1 + 1e-2)  # both have three digits
    assert bound < 1e-15
    captions = part(page, "steps").locator("figcaption").all_inner_texts()
    sizes = [float(caption.rsplit(": ", 1)[1]) for caption in captions]
    assert captions[0].startswith("the network’s guess")
    assert 1e-9 < sizes[0] < 1e-4
    assert sizes[-1] < 1e-15
    progress = [text for text in page.evaluate("window.seen") if text.startswith("Loading")]
    assert any("onnxruntime-web" in text and text.endswith("MB") for text in progress)
    assert any("feedback-3" in text for text in progress)
    page.screenshot(path=BUILD / "playground.png", full_page=True)
    assert (BUILD / "playground.png").stat().st_size > 20_000


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 16, 32])
def test_every_order_is_inverted(page, n):
    A = np.random.default_rng(n).normal(size=(n, n)) * 2.0**n
    assert invert(page, as_text(A)).startswith(f"Certified: order {n},")
    np.testing.assert_array_max_ulp(answer(page), rounded_inverse(A), 1)
    assert said(page, "exact")["within the proven bound"] == "yes"
    assert page.locator("#playground-entries figcaption").nth(1).inner_text() == (
        "guess of spectral" if n > 8 else f"guess of feedback-{max(n, 2)}"
    )


@pytest.mark.parametrize("sample, certified", [("hilbert-10", True), ("singular-3", False)])
def test_an_example_from_the_list(page, sample, certified):
    part(page, "sample").select_option(sample)
    part(page, "invert").click()
    assert finish(page).startswith("Certified" if certified else "Not certified")
    assert ("exactly zero" in part(page, "exact").inner_text()) != certified


def test_bounds_hold_for_matrices_of_every_kind(page):
    """Over scales, gradings and nearly singular rows, against fractions, in the browser itself."""
    found = page.evaluate(
        """async () => {
        const url = (name) => new URL(`_static/playground/${name}.mjs`, location).href;
        const { exactInverse, trueErrors } = await import(url("exact"));
        const { norm } = await import(url("certificate"));
        const { invert, scaled, fromTranspose } = await import(url("refine"));
        let state = 1;
        const random = () => ((state = (state * 48271) % 2147483647) / 2147483647);
        const found = { violated: 0, certified: 0, singular: 0, false: 0 };
        for (let q = 0; q < 1500; q++) {
          const n = 1 + (q % 6), grade = 50 * random();
          const scale = 2 ** Math.floor(200 * random() - 100);
          const entry = () => scale * (random() - 0.5) * 2 ** (-grade * random());
          let A = Array.from({ length: n }, () => Array.from({ length: n }, entry));
          if (q % 5 === 0 && n > 1)
            A[1] = A[0].map((x) => x * (1 + random() * 2 ** -(20 + 30 * random())));
          if (q % 7 === 0) A = A.map((row) => row.map((x) => Math.round((x / scale) * 8)));
          const exact = exactInverse(A), { S, k } = scaled(A);
          const X = invert(A, k, fromTranspose(S), S);
          found.certified += X.certified;
          if (exact === null) {
            found.singular++;
            found.false += Number.isFinite(X.errorBound);
          } else if (norm(trueErrors(X.inverse, exact)) > X.errorBound * (1 + 2 ** -36)) {
            found.violated++;
          }
        }
        return found;
      }"""
    )
    assert found["violated"] == found["false"] == 0
    assert found["certified"] > 1000
    assert found["singular"] > 30


def test_the_exact_inverse_is_the_one_of_fractions(page):
    A = np.random.default_rng(5).normal(size=(5, 5)) * np.logspace(-9, 9, 5)
    found = page.evaluate(
        "async (A) => { const url = new URL('_static/playground/exact.mjs', location).href;"
        "const { exactInverse, rounded } = await import(url); return rounded(exactInverse(A)); }",
        A.tolist(),
    )
    np.testing.assert_array_equal(np.array(found), rounded_inverse(A))


def test_the_keyboard_is_enough(page):
    part(page, "matrix").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("2 0\n0 4")
    page.keyboard.press("Control+Enter")
    assert finish(page).startswith("Certified: order 2")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "playground-invert"
    part(page, "state").evaluate("element => (element.textContent = '')")
    page.keyboard.press("Enter")
    assert finish(page).startswith("Certified: order 2")


def test_a_phone_shows_it_without_scrolling_sideways(page):
    page.set_viewport_size(PHONE)
    assert invert(page, as_text(np.eye(8) + 0.1)).startswith("Certified")
    widest = page.evaluate("document.documentElement.scrollWidth")
    page.screenshot(path=BUILD / "playground-phone.png", full_page=True)
    assert widest <= PHONE["width"]
    for name in ("invert", "sample"):
        box = part(page, name).bounding_box()
        assert box["height"] >= 44  # a finger
        assert box["x"] + box["width"] <= PHONE["width"]


NPY = {
    "double": np.array([[1.0, 2], [3, 5]]),
    "single": np.array([[1, 2], [3, 5]], np.float32),
    "big-endian": np.array([[1.0, 2], [3, 5]], ">f8"),
    "fortran": np.asfortranarray([[1.0, 2], [3, 5]]),
    "integer": np.array([[1, 2], [3, 5]]),
    "stack": np.array([[[1.0, 2], [3, 5]], [[9, 9], [9, 8]]]),
}


@pytest.mark.parametrize("kind", NPY)
def test_npy_files(page, tmp_path, kind):
    np.save(tmp_path / "a.npy", NPY[kind])
    part(page, "file").set_input_files(tmp_path / "a.npy")
    assert finish(page).startswith("Certified: order 2"), finish(page)
    np.testing.assert_array_equal(answer(page), [[-5, 2], [3, -1]])


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,5\n",
        "1;2\r\n3;5",
        "1\t2\n3\t5",
        "1,0;2,0\n3,0;5,0",
        "1.0 2\n3 5",
        "1,2\n3,5\nEND\n7,7",
    ],
)
def test_text_files(page, tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    part(page, "file").set_input_files(tmp_path / "a.csv")
    assert finish(page).startswith("Certified: order 2"), finish(page)
    np.testing.assert_array_equal(answer(page), [[-5, 2], [3, -1]])


def test_a_file_may_be_dropped(page):
    page.evaluate(
        "() => { const data = new DataTransfer();"
        "data.items.add(new File(['0,1\\n1,0'], 'a.csv'));"
        "document.getElementById('playground-form').dispatchEvent("
        "new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })) }"
    )
    assert finish(page).startswith("Certified: order 2")
    np.testing.assert_array_equal(answer(page), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "There is no matrix"),
        ("1 2\n3", "row 2 has 1 number"),
        ("1 2\n3 x", "Line 2: “x” is no finite number."),
        ("1 2\n3 NaN", "“NaN” is no finite number"),
        ("1 2\n3 1e999", "“1e999” is no finite number"),
        ("\n".join([" ".join(["1"] * 33)] * 33), "Order 33: this page stops at 32"),
    ],
)
def test_what_is_no_matrix_gets_a_sentence(page, text, sentence):
    assert sentence in invert(page, text)
    assert not part(page, "results").is_visible()
    assert invert(page, "2").startswith("Certified: order 1")  # and the next one is inverted


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"no", "Not a .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "This page reads"),
        (b"x" * 1_000_001, "more than one matrix"),
    ],
)
def test_what_is_no_npy_file_gets_a_sentence(page, tmp_path, data, sentence):
    (tmp_path / "a.npy").write_bytes(data)
    part(page, "file").set_input_files(tmp_path / "a.npy")
    assert sentence in finish(page)


def test_opened_as_a_file_it_says_what_to_do(browser):
    page = browser.new_page()
    page.goto((SITE / "playground.html").as_uri())
    assert "http.server" in part(page, "state").inner_text()
    page.close()


def test_searching_needs_no_server(browser):
    page = browser.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=certificate")
    page.wait_for_selector("#search-results li a", timeout=SECONDS)
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("ertificate" in title for title in found)
    page.close()
