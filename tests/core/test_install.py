"""Set-up trusts what Python trusts, and says so to Java in a form that Java reads."""

import subprocess
from pathlib import Path

import certifi
import pytest

from propensity_spark import install


def test_certificates_that_python_trusts_become_a_store_of_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    store, password = (option.split("=", 1)[1] for option in install._trusting(tmp_path))
    keytool = install.java_home() / "bin" / "keytool"
    if not keytool.exists():
        pytest.skip("this Java has no keytool to read the store with")
    listed = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storepass", password], capture_output=True, text=True, check=True
    )
    wanted = Path(certifi.where()).read_text(encoding="utf-8").count("BEGIN CERTIFICATE")
    assert listed.stdout.count("trustedCertEntry") == wanted > 100


@pytest.mark.parametrize("bundle", ["", "/no/such/file.pem"])
def test_without_a_bundle_java_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    assert install._trusting(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PROPENSITY_JARS", str(tmp_path / "file" / "jars"))
    assert install.main() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"setup: {tmp_path}/file/jars cannot be written: ")
    assert said.endswith("Name another by PROPENSITY_JARS.\n")


def test_a_jar_stands_whole_or_not_at_all_though_another_fetch_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar, folder = tmp_path / "a.jar", tmp_path / "jars"
    jar.write_text("whole")
    folder.mkdir()
    copy = install.shutil.copy2

    def while_another_ends(one: Path, part: Path) -> None:
        copy(one, part)
        if install.os.getpid() != 2:
            with monkeypatch.context() as other:
                other.setattr(install.os, "getpid", lambda: 2)
                install._put(jar, folder)

    monkeypatch.setattr(install.shutil, "copy2", while_another_ends)
    install._put(jar, folder)
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("a.jar", "whole")]

    def full(one: Path, part: Path) -> None:
        part.write_text("ha")
        raise OSError("no space left")

    monkeypatch.setattr(install.shutil, "copy2", full)
    with pytest.raises(OSError, match="no space"):
        install._put(jar, folder)
    assert [file.name for file in folder.iterdir()] == ["a.jar"]
