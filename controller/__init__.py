"""The controller manager, and one package per controller: a pure plan and a shell around it."""
