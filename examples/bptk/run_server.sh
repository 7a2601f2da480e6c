#!/bin/sh
# Serves the application beside this script with uvicorn, at http://127.0.0.1:5000 or $PORT.
cd "$(dirname "$0")" || exit 1
exec "${PYTHON:-python3}" -m uvicorn application:application --host 127.0.0.1 --port "${PORT:-5000}"
