"""The command line of the bench, and the run of the scenarios that it names."""
