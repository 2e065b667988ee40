package concurrency

// SharedEndpoints returns the endpoints of the cluster that tests and examples share.
func SharedEndpoints() []string { return shared.Endpoints() }
