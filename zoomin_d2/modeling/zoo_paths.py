"""The models that ship, for Detectron2's PathManager; importing this registers "zoo:"."""

from pathlib import Path
from urllib.parse import urlparse

from detectron2.utils.file_io import Detectron2Handler, PathManager
from iopath.common.file_io import PathHandler, get_cache_dir

from zoomin_d2.model_zoo import catalog


class ZooPathHandler(PathHandler):
    """Resolves "zoo:<name>" (weights) and "zoo:<name>.yaml" (config) to files of this package."""

    def _get_supported_prefixes(self) -> list[str]:
        return [catalog.PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs) -> str:
        return str(catalog.local_file(path))

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs):
        return open(self._get_local_path(path), mode, buffering=buffering)

    def _isfile(self, path: str, **kwargs) -> bool:
        try:
            self._get_local_path(path)
        except FileNotFoundError:
            return False
        return True

    _exists = _isfile


def get_config_path(name: str) -> str:
    """The local path of a config: a file's own, or that of "zoo:<name>" with or without ".yaml".

    Raises:
        FileNotFoundError: the file does not exist, or no config by that name ships.
    """
    if name.startswith(catalog.PREFIX):
        return str(catalog.local_file(name if name.endswith(".yaml") else f"{name}.yaml"))
    if not Path(name).is_file():
        raise FileNotFoundError(f"there is no config file '{name}'")
    return name


def get_local_path(path: str) -> str:
    """`PathManager.get_local_path`, with a helpful message if a download fails.

    Args:
        path: a local path, "zoo:...", "detectron2://..." or "https://..."; each may end in
            "#sha256=<hex>", and then the file must have that hash.

    Raises:
        UnreadableWeightsError: the file has another hash.
        FileNotFoundError: the zoo has no such file, or the download failed; the message says which
            file to download and where to put it.
    """
    path, _, digest = path.partition("#sha256=")
    if digest:
        local = get_local_path(path)
        catalog.check_once(local, digest)
        return local
    url = path.replace(Detectron2Handler.PREFIX, Detectron2Handler.S3_DETECTRON2_PREFIX, 1)
    if not url.startswith(("http://", "https://")):
        return PathManager.get_local_path(path)
    try:
        return PathManager.get_local_path(path)
    except OSError as error:  # urllib's URLError and HTTPError, timeouts, refused connections
        cached = Path(get_cache_dir()) / urlparse(url).path.lstrip("/")
        raise FileNotFoundError(
            f"could not download '{path}' ({error}). Download {url} on a machine with a network "
            f"and put it at {cached} ($FVCORE_CACHE moves that folder), or use the path of your "
            "copy. 'zoo:rpn_R_18_FPN' ships with the package and needs no network."
        ) from error


PathManager.register_handler(ZooPathHandler(), allow_override=True)
