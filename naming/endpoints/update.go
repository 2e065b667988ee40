package endpoints

import clientv3 "go.etcd.io/etcd/client/v3"

// Update is one change of one endpoint.
type Update struct {
	// Op is what happens.
	Op Operation

	// Key is the endpoint's key in etcd: the target, a slash, and a name.
	Key string

	// Endpoint is what the key is set to; zero for Delete.
	Endpoint Endpoint
}

// UpdateWithOpts is an Update together with the options of the put or the
// delete that makes it.
type UpdateWithOpts struct {
	Update

	// Opts are options of clientv3.OpPut for Add, and of clientv3.OpDelete for
	// Delete. Those panic where an option does not suit them.
	Opts []clientv3.OpOption
}

// NewAddUpdateOpts returns the update that sets key to endpoint.
func NewAddUpdateOpts(key string, endpoint Endpoint, opts ...clientv3.OpOption) *UpdateWithOpts {
	return &UpdateWithOpts{Update: Update{Op: Add, Key: key, Endpoint: endpoint}, Opts: opts}
}

// NewDeleteUpdateOpts returns the update that deletes key.
func NewDeleteUpdateOpts(key string, opts ...clientv3.OpOption) *UpdateWithOpts {
	return &UpdateWithOpts{Update: Update{Op: Delete, Key: key}, Opts: opts}
}

// Operation says what an Update does.
type Operation uint8

// The operations.
const (
	// Add makes an endpoint, or replaces the one with that key.
	Add Operation = iota
	// Delete removes an endpoint.
	Delete
)
