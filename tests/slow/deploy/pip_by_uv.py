"""Does what deploy/Dockerfile asks of pip by uv: `pip_by_uv.py UV --python PYTHON COMMAND …`.

An option that it does not know is refused by uv, so that nothing of the recipe goes untested.
"""

import os
import sys

# pip's word for it, and uv's; None: uv does so anyway.
WHEEL = {"--no-cache-dir": None, "--no-deps": None, "--wheel-dir": "--out-dir"}
OTHER = {"--no-cache-dir": None, "--yes": None}

uv, option, python, command, *arguments = sys.argv[1:]
if option != "--python":
    sys.exit(f"pip is asked to work in no environment, but {option}")
words = WHEEL if command == "wheel" else OTHER
said = [words.get(argument, argument) for argument in arguments]
start = ["build", "--wheel"] if command == "wheel" else ["pip", command]
compiled = ["--compile-bytecode"] if command == "install" else []  # As pip does.
os.execv(uv, [uv, *start, "--python", python, *compiled, *(word for word in said if word)])
