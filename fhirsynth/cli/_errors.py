"""The one place where errors become exit codes: 0 done, 1 the work failed, 2 the call was wrong, 130 interrupted."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from fhirsynth import errors as ours
from synthea_bridge import errors as bridge


def run_and_explain(command: click.Command) -> NoReturn:
    """Run ``command`` and leave the process with its exit code; an expected error prints one line on stderr."""
    try:
        code = command.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
        click.echo("\ninterrupted; nothing half-written was left behind", err=True)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (ours.UsageError, bridge.UsageError) as error:
        code = _explain(error, 2)
    except (ours.FhirsynthError, bridge.BridgeError) as error:
        code = _explain(error, 1)
    except OSError as error:
        code = _explain(error, 1)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception, code: int) -> int:
    click.echo(f"error: {error}", err=True)
    return code
