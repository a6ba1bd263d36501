"""Takes the picture of the explorer: IOI on an embedded model, its S-inhibition head patched.

python docs/explorer_picture.py        writes docs/explorer.png; needs Chromium
"""

import sys
from pathlib import Path
from threading import Thread

from mechcheck.explorer.server import Server
from mechcheck.models.loading import load_model

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from browser import Browser  # noqa: E402

PICTURE = ROOT / "docs" / "explorer.png"
STATE = "task=ioi&heads=0.3@END&do=patch&each=1"
WIDTH, HEIGHT = 1280, 1060


def take() -> None:
    """Open the page, wait until all of it is there, and save what is seen."""
    server = Server(load_model("names-gpt2-seed4"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    with Browser(WIDTH, HEIGHT) as browser:
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        browser.open(server.link, STATE)
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        browser.until("document.querySelectorAll('.cell i').length === 8")
        browser.until("document.querySelectorAll('#maps svg').length > 0")
        browser.picture(PICTURE)
    server.stop()
    thread.join()


if __name__ == "__main__":
    take()
