"""The `crossdock` command, one file per noun. It always speaks REST: to CROSSDOCK_URL, or to the application in this process.

Heavy modules are imported inside the commands that need them, so that `crossdock --help` answers at once.
"""
