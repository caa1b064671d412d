"""Names of what ships with the package -> local files: "zoo:<name>".

`local_file("zoo:rpn_R_18_FPN")` is a .safetensors file of weights, `"zoo:rpn_R_18_FPN.yaml"` the
config that goes with it.
"""

import os
from functools import cache
from pathlib import Path

from zoomin_d2.weight_files import check_sha256

PREFIX = "zoo:"
ROOT = Path(__file__).resolve().parent

# sha256 of every weight file that ships.
WEIGHTS_SHA256: dict[str, str] = {
    "fast": "1e3aa948e3d89c419760bdae575e7c2e40829577129280c1afab33f5d35b07e8",
    "fast-roigan": "54e50450852da598d489e003e05ab5ad1a4114009b75564a777311367eb23a77",
    "fine": "d3a5505c83f9f234bdbdea92b5c3ca71813919e4f09a123634e7501df6b31d1a",
    "fine-roigan": "14d4f251a491a8240a01e2e799023bb41b3641e774abaf7da3d741f7f2f657ae",
    "paper": "22c66884a537e4798060d807807dcdbb9165316902acaab3e1116fbf0510a850",
    "paper-roigan": "27b6b0086e4424251e2c1c379aa64925a9e1c578c21a3f59ef91d43bdb3cdbe3",
    "rpn_R_18_FPN": "7147adcf2fd4665e3769c0bc591bbfbf2f0283a9159f083b2542b9626f34bdda",
}


check_once = cache(check_sha256)  # a file is looked up several times in a run


def available() -> list[str]:
    """Every name that "zoo:" resolves, sorted: weights as "zoo:x", configs as "zoo:x.yaml"."""
    weights = [f"zoo:{p.stem}" for p in (ROOT / "weights").glob("*.safetensors")]
    configs = [f"zoo:{p.name}" for p in (ROOT / "configs").glob("*.yaml")]
    return sorted(weights + configs)


def weights_file(name: str) -> Path | None:
    """The unchecked weights file of "fast" or "zoo:fast"; None: nothing of that name ships."""
    bare = name.removeprefix(PREFIX)
    file = ROOT / "weights" / f"{bare}.safetensors"
    is_name = Path(bare).name == bare  # and not a path
    return file if is_name and os.path.isfile(file) else None  # (is_file raises for long names)


def local_file(name: str) -> Path:
    """The file for a name; a file of weights is checked against its sha256, once.

    Raises:
        FileNotFoundError: nothing of that name ships.
        UnreadableWeightsError: the file is not the one that ships.
    """
    bare = name.removeprefix(PREFIX)
    config = ROOT / "configs" / bare
    if bare.endswith(".yaml") and Path(bare).name == bare and config.is_file():
        return config
    file = weights_file(name)
    if file is None:
        raise FileNotFoundError(
            f"'{name}' is not in the model zoo. It has: {', '.join(available())}."
        )
    if bare in WEIGHTS_SHA256:
        check_once(file, WEIGHTS_SHA256[bare])
    return file
