package leasing

// SharedEndpoints returns the endpoints of the cluster that the examples use.
func SharedEndpoints() []string { return shared.Endpoints() }
