"""The command line: parse, call a service, print. Bodies import what they need, so that `--help` stays quick."""
