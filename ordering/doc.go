// Package ordering decorates a KV so that its reads never go back in time.
//
// Linearizable reads never go back. Serializable reads can: any member answers them from its own
// data, and the next read may reach a member that has not caught up. The KV of this package
// remembers the greatest revision of its responses. It does not return a response to a read that
// has a lower revision. Instead it calls an [OrderViolationFunc], and repeats the read unless that
// function returns an error.
//
//	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
//	resp, err := kv.Get(ctx, key, clientv3.WithSerializable())
package ordering

// For those who change the package:
//
// A response must not have a lower revision than the greatest one that was returned before the
// request was sent. Responses that are returned later do not matter, so overlapping requests do not
// wait for each other.
//
// Violations are counted for each request, so that one request does not add to the count of
// another, and a success ends the count. OrderViolationFunc has no parameter for the count. It is
// passed in the value of the Op, which reads do not use.
