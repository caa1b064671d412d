"""Names of what ships with the package -> local files: "zoo:<name>" for Detectron2's PathManager.

`PathManager.get_local_path("zoo:rpn_R_18_FPN")` is a .safetensors file of weights,
`"zoo:rpn_R_18_FPN.yaml"` the config that goes with it.
"""

from functools import cache
from pathlib import Path
from urllib.parse import urlparse

from detectron2.utils.file_io import Detectron2Handler, PathManager
from iopath.common.file_io import PathHandler, get_cache_dir

from zoomin_d2.weight_files import check_sha256

_check_once = cache(check_sha256)  # a file is looked up several times in a run

ROOT = Path(__file__).resolve().parent

# sha256 of every weight file that ships.
WEIGHTS_SHA256: dict[str, str] = {
    "fast": "359d0213bd8ceada39debdc4e43bdacc7cdfb0122883feafe98f5fa681165f0d",
    "fast-roigan": "f62504867187101fd9ed1da413ad38af1449c2e9599d01cb418c17998141ffe8",
    "paper": "21c7a0dcce939e16cbc24002dfb01aaf4c35db5e3348a72a154ce60813f3b863",
    "paper-roigan": "e69c657f13f89442bfa03ad1862c9263c1931ed971f56cfb060fb82ad9a7e57c",
    "rpn_R_18_FPN": "7147adcf2fd4665e3769c0bc591bbfbf2f0283a9159f083b2542b9626f34bdda",
}


class ZooPathHandler(PathHandler):
    """Resolves "zoo:<name>" (weights) and "zoo:<name>.yaml" (config) to files of this package."""

    PREFIX = "zoo:"

    def _get_supported_prefixes(self) -> list[str]:
        return [self.PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs) -> str:
        name = path[len(self.PREFIX) :]
        if name.endswith(".yaml"):
            local = ROOT / "configs" / name
        else:
            local = ROOT / "weights" / f"{name}.safetensors"
        if Path(name).name != name or not local.is_file():  # a name is no path
            raise FileNotFoundError(
                f"'{path}' is not in the model zoo. It has: {', '.join(available())}."
            )
        if name in WEIGHTS_SHA256:
            _check_once(local, WEIGHTS_SHA256[name])
        return str(local)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs):
        return open(self._get_local_path(path), mode, buffering=buffering)

    def _isfile(self, path: str, **kwargs) -> bool:
        try:
            self._get_local_path(path)
        except FileNotFoundError:
            return False
        return True

    _exists = _isfile


def available() -> list[str]:
    """Every name that "zoo:" resolves, sorted: weights as "zoo:x", configs as "zoo:x.yaml"."""
    weights = [f"zoo:{p.stem}" for p in (ROOT / "weights").glob("*.safetensors")]
    configs = [f"zoo:{p.name}" for p in (ROOT / "configs").glob("*.yaml")]
    return sorted(weights + configs)


def get_local_path(path: str) -> str:
    """`PathManager.get_local_path`, with a message that helps where the network does not.

    Args:
        path: a local path, "zoo:...", "detectron2://..." or "https://..."; each may end in
            "#sha256=<hex>", and then the file must have that hash.

    Raises:
        UnreadableWeightsError: the file has another hash.
        FileNotFoundError: no such file in the zoo, or it could not be downloaded; the message
            says which file to fetch and where to put it.
    """
    path, _, digest = path.partition("#sha256=")
    if digest:
        local = get_local_path(path)
        _check_once(local, digest)
        return local
    url = path.replace(Detectron2Handler.PREFIX, Detectron2Handler.S3_DETECTRON2_PREFIX, 1)
    if not url.startswith(("http://", "https://")):
        return PathManager.get_local_path(path)
    try:
        return PathManager.get_local_path(path)
    except OSError as error:  # urllib's URLError and HTTPError, timeouts, refused connections
        cached = Path(get_cache_dir()) / urlparse(url).path.lstrip("/")
        raise FileNotFoundError(
            f"'{path}' could not be downloaded ({error}). Fetch {url} where there is a network "
            f"and put it at {cached} ($FVCORE_CACHE moves that folder), or give the path of your "
            "copy. 'zoo:rpn_R_18_FPN' ships with the package and needs no network."
        ) from error


PathManager.register_handler(ZooPathHandler(), allow_override=True)
