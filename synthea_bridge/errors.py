"""What can go wrong on the way from Synthea to tables.

::

    BridgeError                 root; the message says what, where and what to do
    ├── UsageError              the call was wrong: a parameter, a path, a name
    ├── JvmError                the Java side
    │   ├── JavaMissing         no usable Java runtime
    │   ├── ArtifactError       a Maven artifact is missing, altered or out of reach
    │   └── HelperError         a Java helper did not compile or ended badly
    ├── SyntheaError            Synthea itself reported a failure (carries its last lines)
    │   └── ShortfallError      fewer patients were found than asked for; those that were are kept
    ├── WorkerError             a process or an executor that does a share of the work was lost
    └── InputError              data that cannot be read as FHIR R4
        └── LimitError          an archive or a line is larger than what is allowed
"""

from __future__ import annotations


class BridgeError(Exception):
    """Root of everything that ``synthea_bridge`` raises on purpose."""


class UsageError(BridgeError):
    """The call was wrong: nothing has been started."""


class JvmError(BridgeError):
    """The Java side failed."""


class JavaMissing(JvmError):
    """No usable Java runtime was found."""


class ArtifactError(JvmError):
    """A Maven artifact is missing, altered or cannot be fetched."""


class HelperError(JvmError):
    """A Java helper did not compile, or its process ended badly."""


class SyntheaError(BridgeError):
    """Synthea reported a failure; the message ends with its last lines."""


class ShortfallError(SyntheaError):
    """Fewer patients were found than asked for; those that were found are where they should be."""


class WorkerError(BridgeError):
    """A process or an executor that does a share of the work was lost; what was done stays."""


class InputError(BridgeError):
    """Data that cannot be read as FHIR R4."""


class LimitError(InputError):
    """An archive, a member or a line is larger than what is allowed."""
