"""The control plane's data side, the client, the launcher and the CLI of kubeherd."""
