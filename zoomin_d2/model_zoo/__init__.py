"""What ships with the package, by name. Importing it registers the "zoo:" prefix."""

from . import catalog  # noqa: F401  # registration
