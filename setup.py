"""The top-level folders are the rooms of one package: core/ is `toolhost`, sandbox/ is `toolhost.sandbox`, ..."""

from setuptools import find_packages, setup

ROOMS = {"toolhost": "core", **{f"toolhost.{room}": room for room in ("sandbox", "plugins", "web", "policies")}}

setup(
    package_dir=ROOMS,
    packages=[*ROOMS, *(f"{name}.{sub}" for name, folder in ROOMS.items() for sub in find_packages(folder))],
)
