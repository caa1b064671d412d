"""Package metadata. Interpolating needs no Detectron2; how to get it: README, "Install"."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "zoomin_d2/version.py").read_text()).group(1)

setup(
    name="zoomin_d2",
    version=VERSION,
    description="Video frame interpolation on Detectron2, after Zoom-In-to-Check (CVPR 2019)",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["zoomin_d2", "zoomin_d2.*"]),
    package_data={
        "zoomin_d2": ["py.typed"],
        "zoomin_d2.cli.app": ["*.css", "*.js"],
        "zoomin_d2.layers.kernels": ["cuda/*.cu", "cuda/*.cuh"],
        "zoomin_d2.model_zoo": ["configs/*.yaml", "weights/*"],
        "zoomin_d2.visualization.report": ["*.html", "*.css", "*.js", "vendor/**"],
    },
    # What interpolates videos; tests/inference/test_without_detectron2.py runs without the rest.
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "av>=17,<19",
        "Pillow>=10.1",
        "safetensors",
        "filelock>=4",
        "natsort",
        "pyyaml",
        "tabulate",
        "tqdm",
    ],
    entry_points={
        "console_scripts": [
            "zoomin-app = zoomin_d2.cli.app.command:entry_point",
            "zoomin-interpolate = zoomin_d2.cli.interpolate_video:entry_point",
        ]
    },
    extras_require={
        # Training, evaluation and --draw-proposals; with Detectron2, which has no wheel (README).
        "train": [
            "torchvision>=0.19",
            "fvcore>=0.1.5,<0.1.6",
            "iopath>=0.1.7,<0.1.11",
            "pycocotools",
            *("cloudpickle", "hydra-core>=1.1", "omegaconf>=2.1,<2.4"),  # Detectron2's own
            "setuptools<81",  # detectron2.model_zoo imports pkg_resources
            "tensorboard",
            "matplotlib",
            "jinja2>=3.1",
        ],
        "app": ["gradio>=6"],
        "onnx": ["onnx", "onnxruntime"],  # tools/export_model.py --format onnx, and its check
        "openvino": ["onnx", "openvino"],  # --backend openvino
        "vfx": ["OpenEXR>=3.3"],  # EXR images
        "dev": [
            *(
                "pytest",
                "pytest-cov",
                "pytest-xdist",
                "ruff==0.17.6",
                "scipy",
                "hypothesis",
                "psutil",
                "vapoursynth>=74; python_version >= '3.12'",
            ),
            *("playwright", "axe-playwright-python"),
            *("mkdocs-material", "mkdocstrings[python]", "mypy", "nbclient", "ipykernel"),
        ],
    },
)
