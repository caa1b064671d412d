"""The commands that the package installs (setup.py, "console_scripts")."""
