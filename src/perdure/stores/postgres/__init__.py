"""The PostgreSQL store: executes the commands of every store, for any number of processes at once."""
