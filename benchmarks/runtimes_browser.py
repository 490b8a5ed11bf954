"""Exported files in a browser: onnxruntime-web, served and steered from here."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from runtimes_files import FILES, HERE

CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves one folder, and keeps there what the page sends back."""

    def do_POST(self) -> None:
        """Store a result; ``browser.json`` is the last."""
        name = Path(self.path).name
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if name.startswith("browser"):
            (Path(self.directory) / name).write_bytes(data)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def in_browser(folder: Path, npm: Path, seconds: float = 240) -> None:
    """Let headless Chromium measure; ``RuntimeError`` where it gives no answer."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("Chromium is not installed")
    (folder / "ort").mkdir(exist_ok=True)
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(npm / "node_modules/onnxruntime-web/dist" / name, folder / "ort")
    for name in ("runtimes_web.mjs", "runtimes_web.html"):
        shutil.copy(HERE / name, folder)
    answer = folder / "browser.json"
    handler = functools.partial(Handler, directory=str(folder))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        names = ",".join(file.name for file in FILES)
        page = f"http://127.0.0.1:{server.server_port}/runtimes_web.html?files={names}"
        words = [chromium, *CHROMIUM, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [*words, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + seconds
            while not answer.exists() and time.monotonic() < end and browser.poll() is None:
                time.sleep(0.2)
            time.sleep(0.5)  # until it is written to the end
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    if not answer.exists():
        raise RuntimeError("the page gave no answer")
