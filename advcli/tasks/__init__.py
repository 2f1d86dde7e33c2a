"""The tasks of the commands: generators of records."""
