// Package ordering decorates a KV so that its reads never go back in time.
//
// Linearizable reads never go back in time. Serializable reads can: any member answers them from
// its own data, and the next read may reach a member that has not caught up. The KV of this package
// remembers the greatest revision of its responses. If the response to a read has a lower revision,
// the KV does not return the response. Instead it calls an [OrderViolationFunc]. It repeats the
// read if that function returns nil, and otherwise returns the function's error.
//
//	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
//	resp, err := kv.Get(ctx, key, clientv3.WithSerializable())
package ordering

// For those who change the package:
//
// When a request is sent, the KV notes the greatest revision that it has returned so far. The
// revision of the response must not be lower. Responses that are returned while the request is
// under way do not matter. So overlapping requests do not wait for each other.
//
// Violations (responses that are too old) are counted separately for each request, so that one
// request does not add to the count of another. OrderViolationFunc has no parameter for this count.
// The count is passed in the value of the Op, because gets and transactions do not use the value.
