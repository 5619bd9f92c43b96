"""Make ``tests/support/concentrated_vectors.json`` anew: test vectors from a published implementation.

The package is installed in a throw-away folder by its ordinary client and is no dependency of this project. It is used
as it is and only its answers are kept.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "@orca-so/whirlpools-core"
VERSION = "1.0.2"
LICENCE = "Apache-2.0"
"""Of this version; later ones come under another licence."""
SUPPORT = Path(__file__).resolve().parent.parent / "tests" / "support"
PROGRAM = SUPPORT / "concentrated_vectors.mjs"
VECTORS = SUPPORT / "concentrated_vectors.json"
TIMEOUT_S = 120


def main() -> None:
    if shutil.which("npm") is None:
        sys.exit("npm is needed to install the package that computes the vectors")
    with tempfile.TemporaryDirectory() as folder:
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, f"{PACKAGE}@{VERSION}"]
        subprocess.run(install, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
        installed = json.loads((Path(folder) / "node_modules" / PACKAGE / "package.json").read_text(encoding="utf-8"))
        if (installed["version"], installed["license"]) != (VERSION, LICENCE):
            sys.exit(f"{PACKAGE} is {installed['version']} under {installed['license']}, not {VERSION} under {LICENCE}")
        shutil.copy(PROGRAM, folder)
        run = ["node", str(Path(folder) / PROGRAM.name)]
        made = subprocess.run(run, check=True, timeout=TIMEOUT_S, capture_output=True, text=True, cwd=folder)
    source = {"package": PACKAGE, "version": VERSION, "licence": LICENCE, "made_by": "scripts/concentrated_vectors.py"}
    lines = [f"{json.dumps(name)}: [\n{_rows(rows)}\n]" for name, rows in json.loads(made.stdout).items()]
    VECTORS.write_text(
        "{\n" + ",\n".join([f'"source": {json.dumps(source)}', *lines]) + "\n}\n", encoding="utf-8", newline="\n"
    )


def _rows(rows: list[object]) -> str:
    return ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)


if __name__ == "__main__":
    main()
