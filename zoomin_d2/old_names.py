"""Former names of config keys, so that old yamls and checkpoints still load."""

_GENERATOR = "MODEL.GENERATOR"

# Old name -> new name.
CONFIG_KEYS: dict[str, str] = {
    # Where both are given, the first one counts.
    "TEST.NUM_SAVED_FRAMES": "TEST.NUM_SAVED",
    "TEST.NUM_SAVED_IMAGES": "TEST.NUM_SAVED",
    **{
        f"{_GENERATOR}.{key}": f"{_GENERATOR}.PAPER.{key}"
        for key in (
            *("FLOW_CHANNELS", "SYNTHESIS_CHANNELS", "SYNTHESIS_KERNEL"),
            *("CONTEXT_CHANNELS", "CONTEXT_KERNEL"),
        )
    },
}


def rename_keys(tree: dict, prefix: str = "") -> None:
    """Move the values of old keys of a nested dict to the new keys, in place.

    Args:
        tree: a config as nested dicts, or the part of it under ``prefix`` ("MODEL.GENERATOR").
    """
    start = f"{prefix}." if prefix else ""
    for old, new in CONFIG_KEYS.items():
        if not old.startswith(start):
            continue
        *path, key = old.removeprefix(start).split(".")
        node = tree
        for name in path:
            node = node.get(name, {})
        if key not in node:
            continue
        value = node.pop(key)
        *path, key = new.removeprefix(start).split(".")
        node = tree
        for name in path:
            node = node.setdefault(name, type(node)())
        node.setdefault(key, value)
