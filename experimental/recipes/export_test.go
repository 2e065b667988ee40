package recipe

// SharedEndpoints are those of the cluster that tests and examples share.
func SharedEndpoints() []string { return shared.Endpoints() }
