#!/usr/bin/env python3
"""Makes C++ of a CUDA source: launches become calls, dynamic shared memory becomes a pointer.

    translate.py SOURCE TARGET
"""
import pathlib
import re
import sys

source, target = map(pathlib.Path, sys.argv[1:])
text = source.read_text()
text = re.sub(r"^( +)(\S[^\n]*?)<<<(.+?)>>>\(", r"\1simulated::launch(simulated::Grid(\3), \2, ", text,
              flags=re.DOTALL | re.MULTILINE)
text = re.sub(r"extern __shared__ (?:__align__\(\d+\) )?(\w+) (\w+)\[\];",
              r"\1* \2 = static_cast<\1*>(simulated::dynamic_shared());", text)
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text(f'#include "warp.hpp"\n#line 1 "{source}"\n{text}')
