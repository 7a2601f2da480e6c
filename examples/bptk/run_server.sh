#!/bin/sh
# Serves the application beside this script with uvicorn, at http://127.0.0.1:5000 or $PORT. It runs with $PYTHON, else with
# the Python that `make serve` has set up, else with python3.
cd "$(dirname "$0")" || exit 1
made=../../.venv/bin/python
[ -x "$made" ] || made=python3
exec "${PYTHON:-$made}" -m uvicorn application:application --host 127.0.0.1 --port "${PORT:-5000}"
