"""The command line. Exit codes: 0 done, 1 the job did not end `completed`, 2 usage, 3 unreachable or refused."""

import sys

import click

from batchstatus import __version__
from batchstatus.cli.demonstration.demo import demo
from batchstatus.cli.doctor import doctor
from batchstatus.cli.erase import erase
from batchstatus.cli.jobs import control, failures, history, status, watch
from batchstatus.cli.keys import keys
from batchstatus.cli.kinds import kinds
from batchstatus.cli.options import missing
from batchstatus.cli.reap import reap
from batchstatus.cli.run import run
from batchstatus.cli.running import running
from batchstatus.cli.serve import serve
from batchstatus.cli.terminal.words import clean
from batchstatus.cli.webhooks import webhooks
from batchstatus.model.errors import BatchStatusError, InvalidValue


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="batchstatus", message="%(prog)s %(version)s")
def commands() -> None:
    """How far is my import? Run the service, read and control jobs, manage API keys."""


for _command in (
    *(serve, demo, keys, kinds, status, watch, history, failures, control, run),
    *(running, reap, erase, doctor, webhooks),
):
    commands.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. An error is printed as one line on stderr."""
    try:
        code = commands.main(arguments, prog_name="batchstatus", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.MissingParameter as error:
        return _fail(missing(error), 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BatchStatusError as error:
        return _fail(str(error), 2 if isinstance(error, InvalidValue) else 3)
    except OSError as error:
        return _fail(str(error), 3)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"batchstatus: {clean(message)}", file=sys.stderr)
    return code
