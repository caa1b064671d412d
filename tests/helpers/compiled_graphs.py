"""What torch.compile makes of a function."""

from collections.abc import Callable

import torch
from torch.fx import Node


def compiled_nodes(function: Callable, *args: torch.Tensor) -> tuple[torch.Tensor, list[Node]]:
    """The function's result, and the nodes of its graphs, before any backend changes them."""
    nodes: list[Node] = []

    def keep(graph: torch.fx.GraphModule, _: list) -> Callable:
        nodes.extend(graph.graph.nodes)
        return graph.forward

    return torch.compile(function, backend=keep, dynamic=False)(*args), nodes
