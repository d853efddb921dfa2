"""Commands in forks of a process that has imported the libraries: a third of a second instead of three a command.

The package itself is imported by each fork anew, from the PYTHONPATH of the command.

    python tests/forks.py FOLDER    # serves until the folder's socket is closed
"""

import json
import os
import signal
import socket
import socketserver
import sys
from importlib import import_module
from pathlib import Path

LIBRARIES = (
    "matplotlib.animation", "matplotlib.pyplot", "numpy", "pandas", "pyarrow.parquet", "pydantic", "safetensors.numpy",
    "safetensors.torch", "scipy.optimize", "scipy.special", "seaborn", "snakemake.cli", "torch", "tqdm", "yaml",
)  # fmt: skip
# The commands, and the module and function that each of them calls.
COMMANDS = {"luckmatters": "luckmatters.cli", "snakemake": "snakemake.cli"}
# What lies on the PATH in place of a command: hands its arguments and open files over, and ends as the fork ends.
CLIENT = """#!{python} -IS
import json, os, socket, sys
order = json.dumps([{module!r}, sys.argv, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(order).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(order)
    status = server.recv(1)
sys.exit(status[0] if status else "the fork was killed")
"""


class Fork(socketserver.StreamRequestHandler):
    """Runs a command in the fork that serves a connection."""

    def handle(self) -> None:
        """Take over the client's arguments, folder, environment and open files; run the command; send the status."""
        length, files, _, _ = socket.recv_fds(self.request, 4, 3)
        module, arguments, folder, environment = json.loads(self.rfile.read(int.from_bytes(length, "big")))
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments
        sys.path[0:1] = [str(Path(arguments[0]).parent), *environment.get("PYTHONPATH", "").split(os.pathsep)]
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            status = import_module(module).main()
        except SystemExit as end:
            status = end.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
            status = 1
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        self.request.sendall(bytes([status or 0]))


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Serves each connection in a fork of its own."""

    request_queue_size = 100
    started_by = os.getppid()

    def service_actions(self) -> None:
        """Called twice a second: collect ended forks; end with the process that started the server."""
        super().service_actions()
        if os.getppid() != self.started_by:
            sys.exit()


def serve(folder: Path) -> None:
    address = str(folder / "socket")
    for name, module in COMMANDS.items():
        path = folder / name
        path.write_text(CLIENT.format(python=sys.executable, module=module, address=address))
        path.chmod(0o755)
    for library in LIBRARIES:
        import_module(library)
    assert "luckmatters" not in sys.modules
    with Server(address, Fork) as server:
        print("serving", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
