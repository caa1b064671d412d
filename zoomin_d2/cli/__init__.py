"""The commands that the package installs (setup.py, "console_scripts")."""

import os

# Before PyTorch is imported. Between two operations, threads of OpenMP (GNU's) otherwise spin for
# milliseconds on cores that an encoder, or another program, waits for.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
