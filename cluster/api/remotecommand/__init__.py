"""Remote commands: channels of a connection, what a pod is scripted to answer, how it ends."""
