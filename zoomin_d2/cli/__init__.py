"""Commands that are installed with the package (setup.py, "console_scripts")."""
