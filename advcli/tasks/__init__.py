"""What the commands do: generators of records."""
