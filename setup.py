"""Tell setuptools what a table cannot: the packages are found, and `Resources/` travels inside `SAMSpineLib`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["SAMSpineLib", "SAMSpineLib.*"]), "SAMSpineLib.Resources"],
    package_dir={"SAMSpineLib.Resources": "Resources"},
)
