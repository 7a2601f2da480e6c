"""The BPTK dialect: the HTTP API and the names of BPTK-Py's server, on durable sessions."""
