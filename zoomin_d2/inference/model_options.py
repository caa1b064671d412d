"""Options of `Interpolator` that do not fit a model, or each other."""

from typing import Literal, get_args

Quality = Literal["standard", "best"]
FlowScale = float | Literal["auto"] | None


def check_generator(generator: object) -> None:
    """Raises TypeError for what is neither a network nor a function."""
    if not callable(generator):
        raise TypeError(
            f"generator must be a network or a function, got {generator!r}; for a name, use "
            "Interpolator.from_pretrained"
        )


def check_options(
    name: str, is_network: bool, flow_scale: FlowScale, quality: str, compiled: bool
) -> None:
    """
    Args:
        name: of the model. is_network: whether it has weights. compiled: by `torch.compile`.

    Raises:
        ValueError: an option has no such value, needs a network, or does not go with another one.
    """
    if isinstance(flow_scale, str) and flow_scale != "auto":
        raise ValueError(f"flow_scale must be a number or 'auto', got '{flow_scale}'")
    if not is_network and flow_scale not in (None, 1):
        raise ValueError(f"flow_scale needs a network; '{name}' is not one")
    if compiled and flow_scale not in (None, 1):
        raise ValueError(f"compile needs flow_scale 1, got {flow_scale}: others run uncompiled")
    if quality not in get_args(Quality):
        raise ValueError(f"quality must be 'standard' or 'best', got '{quality}'")
    if not is_network and quality != "standard":
        raise ValueError(f"quality '{quality}' needs a network; '{name}' is not one")
