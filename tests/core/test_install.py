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
