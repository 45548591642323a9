"""Make sure that Chromium and Chinese fonts are there: through apt for root, otherwise Playwright's own browser."""

import os
import shutil
import subprocess
import sys


def run(*command: str) -> None:
    """Run and fail loudly."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Install only what is missing."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    apt = os.name == "posix" and getattr(os, "geteuid", lambda: 1)() == 0 and shutil.which("apt-get")
    fonts = (
        bool(shutil.which("fc-list"))
        and "CJK" in subprocess.run(["fc-list"], capture_output=True, text=True, check=False).stdout
    )
    missing = [*(["chromium"] if not chromium else []), *(["fonts-noto-cjk"] if not fonts else [])]
    if apt and missing:
        sys.stdout.write(f"· installing {', '.join(missing)}\n")
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
    elif not chromium:
        run(sys.executable, "-m", "playwright", "install", "chromium")


if __name__ == "__main__":
    main()
