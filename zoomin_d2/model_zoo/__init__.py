"""What ships with the package, by name; no Detectron2 (modeling/zoo_paths.py registers it)."""
