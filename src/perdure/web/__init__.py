"""What every router uses: errors over HTTP, tokens, origins, limits, operations and their OpenAPI."""
