"""A Java for Spark without asking the user for one."""

from __future__ import annotations

import os
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Final

from synthea_bridge.artifacts import cache_folder
from synthea_bridge.errors import JavaMissing
from synthea_bridge.files import atomic_file
from synthea_bridge.jvm import OLDEST_JAVA, bundled, java, version

NEWEST_JAVA: Final = 21
"""What all of PySpark 4 starts on."""
_SCRIPT: Final = """\
#!/bin/sh
# The bundled Java lacks a module that Spark asks for and can do without.
for word do
  shift
  case "$word" in
    --add-modules=jdk.incubator.vector) ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec {java} "$@"
"""


def java_home() -> Path:
    """What ``JAVA_HOME`` should be for Spark: the user's where it fits, else a folder that stands for the bundled Java.

    ``FHIRSYNTH_JAVA`` is taken whatever its version; ``JAVA_HOME`` where it is Java 17 to 21.

    Raises
    ------
    JavaMissing
        When there is none for this platform.
    """
    if os.environ.get("FHIRSYNTH_JAVA"):
        return java().resolve().parent.parent
    home = os.environ.get("JAVA_HOME")
    if home and OLDEST_JAVA <= (version(Path(home) / "bin" / "java") or 0) <= NEWEST_JAVA:
        return Path(home)
    if os.name == "nt":
        raise JavaMissing("Spark needs a Java 17 or 21 on Windows; install one and set JAVA_HOME to it")
    return _stand_in(bundled())


def _stand_in(executable: Path) -> Path:
    """A folder whose ``bin/java`` is the bundled one, without the module that it lacks."""
    script = _SCRIPT.format(java=shlex.quote(str(executable)))
    home = cache_folder() / "java-home" / sha256(script.encode()).hexdigest()[:16]
    target = home / "bin" / "java"
    if not target.exists():
        with atomic_file(target) as scratch:
            scratch.write_text(script, encoding="utf-8")
            scratch.chmod(0o755)
    return home
