package snapshot

// SharedEndpoints are those of the cluster of the examples.
func SharedEndpoints() []string { return shared.Endpoints() }
