"""Pictures of proposals, flows and interpolated frames."""

from zoomin_d2.visualization.flow import draw_flow_legend, draw_flows
from zoomin_d2.visualization.panel import (
    draw_error,
    interpolation_panel,
    save_picture,
    tile_pictures,
    to_picture,
)
from zoomin_d2.visualization.proposals import draw_proposals, zoom_panel
from zoomin_d2.visualization.training_panel import training_panel

__all__ = [
    "draw_error",
    "draw_flow_legend",
    "draw_flows",
    "draw_proposals",
    "interpolation_panel",
    "save_picture",
    "tile_pictures",
    "to_picture",
    "training_panel",
    "zoom_panel",
]
