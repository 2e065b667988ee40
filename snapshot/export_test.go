package snapshot

// SharedEndpoints returns the endpoints of the cluster that all examples share.
func SharedEndpoints() []string { return shared.Endpoints() }
