"""``python -m kubeherd``: the `kubeherd` command."""

from kubeherd.cluster.cli.main import main

if __name__ == "__main__":
    main()
