"""The API server: Kubernetes REST over HTTP, from the path of a request to the store and back."""
