"""The local AWS: real machines, a real database and a real load balancer behind AWS's own API."""
