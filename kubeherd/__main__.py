"""``python -m kubeherd``: the `kubeherd` command."""

from kubeherd.cluster.cli.main import run

if __name__ == "__main__":
    run()
